/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <ctype.h>
#include <string.h>
#include "dataplane/stats.h"

static void name_is_well_formed(const char *name)
{
	assert_non_null(name);
	assert_true(strlen(name) > 2 && strlen(name) <= 24);
	for (const char *p = name; *p; p++)
		assert_true(islower(*p) || isdigit(*p) || *p == '-');
}

static void every_drop_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_COUNT; i++) {
		name_is_well_formed(drop_name((enum drop)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(drop_name((enum drop)i), drop_name((enum drop)j));
	}
}

static void every_drop_has_one_sentence(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_COUNT; i++) {
		const char *text = drop_text((enum drop)i);

		assert_non_null(text);
		assert_true(isupper(text[0]));
		assert_int_equal(text[strlen(text) - 1], '.');
		assert_ptr_equal(strchr(text, '.'), text + strlen(text) - 1);
		assert_true(strlen(text) < 120);
	}
}

static void drop_names_follow_the_enum(void **state)
{
	static const struct {
		enum drop reason;
		const char *name;
	} rows[] = {
		{ DROP_NONE, "none" },
		{ DROP_RX_MALFORMED, "rx-malformed" },
		{ DROP_RX_UNKNOWN_INDEX, "rx-unknown-index" },
		{ DROP_RX_KEY_EXPIRED, "rx-key-expired" },
		{ DROP_RX_BAD_AUTH, "rx-bad-auth" },
		{ DROP_RX_REPLAY, "rx-replay" },
		{ DROP_HANDSHAKE_QUEUE, "handshake-queue" },
		{ DROP_HANDSHAKE_MAC1, "handshake-mac1" },
		{ DROP_HANDSHAKE_COOKIE, "handshake-cookie" },
		{ DROP_HANDSHAKE_RATE, "handshake-rate" },
		{ DROP_HANDSHAKE_INVALID, "handshake-invalid" },
		{ DROP_HANDSHAKE_STALE, "handshake-stale" },
		{ DROP_COOKIE_INVALID, "cookie-invalid" },
		{ DROP_IN_KIND, "in-kind" },
		{ DROP_IN_MALFORMED, "in-malformed" },
		{ DROP_IN_SOURCE, "in-source" },
		{ DROP_IN_NETWORK, "in-network" },
		{ DROP_IN_MARTIAN, "in-martian" },
		{ DROP_IN_GATEWAY, "in-gateway" },
		{ DROP_IN_NOT_LOCAL, "in-not-local" },
		{ DROP_IN_ND, "in-nd" },
		{ DROP_IN_DHCP, "in-dhcp" },
		{ DROP_IN_CONTROL, "in-control" },
		{ DROP_IN_ECN, "in-ecn" },
		{ DROP_IN_NO_BRIDGE, "in-no-bridge" },
		{ DROP_IN_UNRESOLVED, "in-unresolved" },
		{ DROP_IN_BROADCAST, "in-broadcast" },
		{ DROP_OUT_NO_NETWORK, "out-no-network" },
		{ DROP_OUT_SHORT, "out-short" },
		{ DROP_OUT_NOT_FOR_US, "out-not-for-us" },
		{ DROP_OUT_ETHERTYPE, "out-ethertype" },
		{ DROP_OUT_MALFORMED, "out-malformed" },
		{ DROP_OUT_GSO, "out-gso" },
		{ DROP_OUT_MARTIAN, "out-martian" },
		{ DROP_OUT_SOURCE, "out-source" },
		{ DROP_OUT_NETWORK, "out-network" },
		{ DROP_OUT_NO_ROUTE, "out-no-route" },
		{ DROP_OUT_ARP, "out-arp" },
		{ DROP_OUT_ND, "out-nd" },
		{ DROP_OUT_DHCP, "out-dhcp" },
		{ DROP_OUT_LOOP, "out-loop" },
		{ DROP_OUT_BROADCAST, "out-broadcast" },
		{ DROP_OUT_TOO_BIG, "out-too-big" },
		{ DROP_OUT_TOO_BIG_QUIET, "out-too-big-quiet" },
		{ DROP_OUT_NO_ENDPOINT, "out-no-endpoint" },
		{ DROP_OUT_NO_KEY, "out-no-key" },
		{ DROP_OUT_STAGE_FULL, "out-stage-full" },
		{ DROP_OUT_STAGE_EXPIRED, "out-stage-expired" },
		{ DROP_OUT_KEY_EXPIRED, "out-key-expired" },
		{ DROP_OUT_SEND, "out-send" },
		{ DROP_TAP_WRITE, "tap-write" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(drop_name(rows[i].reason), rows[i].name);
}

static void every_event_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < EVENT_COUNT; i++) {
		name_is_well_formed(event_name((enum event)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(event_name((enum event)i),
			                        event_name((enum event)j));
	}
	assert_string_equal(event_name(EVENT_MSS_CLAMPED), "mss-clamped");
	assert_string_equal(event_name(EVENT_RCV_OVERFLOW), "rcv-overflow");
	assert_string_equal(event_name(EVENT_NETLINK_OVERFLOW), "netlink-overflow");
}

static void numbers_beyond_the_enums_have_names_too(void **state)
{
	(void)state;
	assert_string_equal(drop_name(DROP_COUNT), "unknown");
	assert_string_equal(drop_text(DROP_COUNT), "Unknown.");
	assert_string_equal(event_name(EVENT_COUNT), "unknown");
}

static void counters_add_up(void **state)
{
	static struct stats stats;

	(void)state;
	stats_add(&stats.drops[DROP_RX_REPLAY], 3);
	stats_add(&stats.drops[DROP_RX_REPLAY], 0x100000000ull);
	assert_int_equal(stats_read(&stats.drops[DROP_RX_REPLAY]), 0x100000003ull);
	assert_int_equal(stats_read(&stats.drops[DROP_RX_BAD_AUTH]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_drop_has_a_name_of_its_own),
		cmocka_unit_test(every_drop_has_one_sentence),
		cmocka_unit_test(drop_names_follow_the_enum),
		cmocka_unit_test(every_event_has_a_name_of_its_own),
		cmocka_unit_test(numbers_beyond_the_enums_have_names_too),
		cmocka_unit_test(counters_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
