/* SPDX-License-Identifier: MIT */
/* Blocks byte by byte; that Wireshark reads them is the system tests' business. */
#include "unit.h"

#include <stdint.h>
#include <string.h>
#include "ctl/pcapng.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the bytes below are of a little-endian machine"
#endif

static void expect(struct buffer *out, const void *bytes, size_t len)
{
	assert_false(out->failed);
	assert_int_equal(out->len, len);
	assert_memory_equal(out->data, bytes, len);
	assert_int_equal(pcapng_whole(out->data, out->len), len);
	out->len = 0;
}

static void test_blocks(void **state)
{
	static const uint8_t section[] = {
		0x0a, 0x0d, 0x0d, 0x0a, 40,   0,    0,    0,    0x4d, 0x3c, 0x2b, 0x1a, 1, 0,
		0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4,    0,    2, 0,
		'm',  'e',  0,    0,    0,    0,    0,    0,    40,   0,    0,    0,
	};
	static const uint8_t interface[] = {
		1, 0, 0, 0, 48,  0,   0,   0,   101, 0, 0, 0, 0x34, 0x12, 0, 0,
		2, 0, 4, 0, 'o', 'v', 'l', '0', 3,   0, 1, 0, 'x',  0,    0, 0,
		9, 0, 1, 0, 9,   0,   0,   0,   0,   0, 0, 0, 48,   0,    0, 0,
	};
	static const uint8_t packet[] = {
		6,    0,    0,    0,    60,   0,   0, 0, 3, 0, 0, 0,  0x04, 0x03, 0x02,
		0x01, 0x08, 0x07, 0x06, 0x05, 5,   0, 0, 0, 9, 0, 0,  0,    'a',  'b',
		'c',  'd',  'e',  0,    0,    0,   2, 0, 4, 0, 2, 0,  0,    0,    1,
		0,    3,    0,    'w',  'h',  'y', 0, 0, 0, 0, 0, 60, 0,    0,    0,
	};
	static const uint8_t secrets[] = {
		10,  0,   0,   0,   32,   0, 0, 0, 0x4c, 0x4b, 0x47, 0x57, 5,  0, 0, 0,
		'K', '=', '1', '2', '\n', 0, 0, 0, 0,    0,    0,    0,    32, 0, 0, 0,
	};
	struct buffer out;

	(void)state;
	buffer_init(&out, 4096);
	assert_true(pcapng_put_section(&out, "me"));
	expect(&out, section, sizeof(section));
	assert_true(pcapng_put_interface(&out, &(struct pcapng_interface){ .link = PCAPNG_RAW_IP,
	                                                                   .snaplen = 0x1234,
	                                                                   .name = "ovl0",
	                                                                   .description = "x" }));
	expect(&out, interface, sizeof(interface));
	assert_true(pcapng_put_packet(
		&out, &(struct pcapng_packet){ .interface = 3,
	                                       .wall_ns = 0x0102030405060708,
	                                       .len = 9,
	                                       .pieces = { { "abc", 3 }, { "de", 2 } },
	                                       .direction = PCAPNG_OUT,
	                                       .comments = { NULL, "why" } }));
	expect(&out, packet, sizeof(packet));
	assert_true(pcapng_put_wireguard_keys(&out, "K=12\n"));
	expect(&out, secrets, sizeof(secrets));
	buffer_fini(&out);
}

static void test_statistics(void **state)
{
	struct buffer out;
	uint64_t number;

	(void)state;
	buffer_init(&out, 4096);
	assert_true(pcapng_put_statistics(&out, &(struct pcapng_statistics){ .interface = 1,
	                                                                     .start_ns = 5,
	                                                                     .end_ns = 6,
	                                                                     .now_ns = 7,
	                                                                     .delivered = 40,
	                                                                     .dropped = 2 }));
	assert_int_equal(pcapng_whole(out.data, out.len), out.len);
	/* Received is what was delivered and what was not: behind two times and an option's head. */
	memcpy(&number, out.data + 20 + 2 * 12 + 4, sizeof(number));
	assert_int_equal(number, 42);
	memcpy(&number, out.data + 20 + 3 * 12 + 4, sizeof(number));
	assert_int_equal(number, 2);
	buffer_fini(&out);
}

/* What is cut off, and what does not fit, leaves whole blocks. */
static void test_whole(void **state)
{
	struct buffer out;
	size_t first;

	(void)state;
	buffer_init(&out, 100);
	assert_true(pcapng_put_section(&out, "me"));
	first = out.len;
	assert_true(pcapng_put_wireguard_keys(&out, "K=12\n"));
	for (size_t len = 0; len <= out.len; len++)
		assert_int_equal(pcapng_whole(out.data, len), len < first     ? 0
		                                              : len < out.len ? first
		                                                              : out.len);
	first = out.len;
	assert_false(pcapng_put_wireguard_keys(&out, "K=12\n"));
	assert_int_equal(out.len, first);
	assert_int_equal(pcapng_whole("\6\0\0\0\0\0\0\0\0\0\0\0", 12), 0);
	buffer_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
