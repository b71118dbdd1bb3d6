/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/device.h"
#include "dataplane/recorder.h"

#define WRITERS 3
#define ROUNDS  20000

static struct recorder recorder;

static int clear(void **state)
{
	(void)state;
	memset(&recorder, 0, sizeof(recorder));
	return 0;
}

/* A UDP packet of @mark: in its addresses, its ports, and its payload. */
static void make(uint8_t *bytes, size_t len, uint8_t mark)
{
	memset(bytes, mark, len);
	bytes[0] = 0x45;
	bytes[6] = bytes[7] = 0;
	bytes[9] = IPPROTO_WIRE_UDP;
}

static void drop(uint64_t now_ns, uint8_t mark, uint32_t len)
{
	uint8_t bytes[128];
	const struct recorder_subject subject = { .kind = HEADER_PLAINTEXT,
		                                  .data = bytes,
		                                  .len = len };

	make(bytes, sizeof(bytes), mark);
	recorder_drop(&recorder, DROP_IN_SOURCE, now_ns, NULL, NULL, &subject);
}

static void each_reason_has_its_own(void **state)
{
	struct network network = { .serial = 7 };
	struct recorder_entry entry;

	(void)state;
	assert_false(recorder_read(&recorder, DROP_IN_SOURCE, &entry));
	drop(5, 0x11, 100);
	recorder_drop(&recorder, DROP_OUT_SEND, 6, NULL, &network, NULL);
	assert_true(recorder_read(&recorder, DROP_IN_SOURCE, &entry));
	assert_int_equal(entry.when_ns, 5);
	assert_int_equal(entry.len, 100);
	assert_int_equal(entry.kind, HEADER_PLAINTEXT);
	assert_int_equal(entry.network, 0);
	assert_int_equal(entry.header_len, 28);
	assert_int_equal(entry.header[12], 0x11);
	/* Nothing of the payload. */
	for (size_t i = entry.header_len; i < sizeof(entry.header); i++)
		assert_int_equal(entry.header[i], 0);
	assert_true(recorder_read(&recorder, DROP_OUT_SEND, &entry));
	assert_int_equal(entry.network, 7);
	assert_int_equal(entry.kind, HEADER_NONE);
	assert_false(recorder_read(&recorder, DROP_OUT_NO_KEY, &entry));
}

static void the_last_stays_and_a_flood_is_thinned(void **state)
{
	struct recorder_entry entry;

	(void)state;
	drop(1000, 1, 100);
	drop(1000 + RECORDER_PAUSE_NS - 1, 2, 100);
	assert_true(recorder_read(&recorder, DROP_IN_SOURCE, &entry));
	assert_int_equal(entry.header[12], 1);
	drop(1000 + RECORDER_PAUSE_NS, 3, 100);
	assert_true(recorder_read(&recorder, DROP_IN_SOURCE, &entry));
	assert_int_equal(entry.header[12], 3);
	assert_int_equal(entry.when_ns, 1000 + RECORDER_PAUSE_NS);
}

struct writer {
	uint8_t mark;
	pthread_t thread;
};

static void *write_all(void *arg)
{
	const struct writer *writer = arg;

	/* Each may write each time: that is when they meet. */
	for (uint64_t i = 1; i <= ROUNDS; i++)
		drop(i * RECORDER_PAUSE_NS, writer->mark, writer->mark);
	return NULL;
}

static void no_reader_gets_half_of_each(void **state)
{
	struct writer writers[WRITERS];
	struct recorder_entry entry;
	unsigned int seen = 0;

	(void)state;
	for (unsigned int i = 0; i < WRITERS; i++) {
		writers[i].mark = (uint8_t)(0x40 + i);
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]),
		                 0);
	}
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (!recorder_read(&recorder, DROP_IN_SOURCE, &entry))
			continue;
		seen++;
		assert_int_equal(entry.len, entry.header[12]);
		for (unsigned int j = 10; j < entry.header_len; j++)
			assert_int_equal(entry.header[j], entry.header[12]);
	}
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	assert_true(recorder_read(&recorder, DROP_IN_SOURCE, &entry));
	assert_true(seen > 0 || entry.when_ns > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_reason_has_its_own, clear),
		cmocka_unit_test_setup(the_last_stays_and_a_flood_is_thinned, clear),
		cmocka_unit_test_setup(no_reader_gets_half_of_each, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
