/* SPDX-License-Identifier: MIT */
/* Keys as text, X25519 and its refusals. */
#include "unit.h"

#include "crypto/secret.h"

static void test_base64_round_trip(void **state)
{
	uint8_t key[KEY_SIZE], back[KEY_SIZE];
	char text[KEY_BASE64_LEN + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		secret_random(key, sizeof(key));
		secret_to_base64(text, key);
		assert_int_equal(strlen(text), KEY_BASE64_LEN);
		assert_true(secret_from_base64(back, text, strlen(text)));
		assert_memory_equal(key, back, KEY_SIZE);
	}
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_round_trip),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
