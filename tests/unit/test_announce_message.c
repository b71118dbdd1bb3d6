/* SPDX-License-Identifier: MIT */
/* Messages about stations: what parses and what does not. */
#include <stdio.h>
#include "unit.h"
#include "dataplane/announce.h"

#define VNI        \
	"00070004" \
	"00000007"
#define BOOT       \
	"00060008" \
	"0000000000000005"
#define FROM3      \
	"00080008" \
	"0000000000000003"
#define FROM9      \
	"00080008" \
	"0000000000000009"
#define TO9        \
	"00090008" \
	"0000000000000009"
#define TO3        \
	"00090008" \
	"0000000000000003"
#define END "000b0000"
/* Behind the sequence number and the flags. */
#define MAC  \
	"00" \
	"020000000001"
#define IP4            \
	"04"           \
	"020000000001" \
	"0a070201"     \
	"8064000a"
#define IP6            \
	"06"           \
	"020000000001" \
	"fd000000000000000000000000000001"
#define STATION_MAC(sequence, flags) \
	"000a0010"                   \
	"00000000000000" sequence flags MAC
#define STATION_IP4(sequence, flags) \
	"000a0018"                   \
	"00000000000000" sequence flags IP4
#define STATION_IP6(sequence, flags) \
	"000a0020"                   \
	"00000000000000" sequence flags IP6

struct row {
	const char *what;
	uint8_t type;
	const char *tlvs;
	bool good;
	uint32_t count;
};

static const struct row rows[] = {
	{ "nothing new", 2, VNI BOOT FROM3 TO3, true, 0 },
	{ "nothing at all", 2,
	  VNI BOOT "000800080000000000000000"
	           "000900080000000000000000" END,
	  true, 0 },
	{ "one of each", 2,
	  VNI BOOT FROM3 TO9 STATION_MAC("04", "00") STATION_IP4("05", "00") STATION_IP6("09", "01")
	          END,
	  true, 3 },
	{ "in another order, with a type unknown", 2,
	  STATION_MAC("04", "00") TO9 "7777000101" FROM3 STATION_MAC("05", "00") BOOT VNI, true,
	  2 },
	{ "flags of a version to come", 2, VNI BOOT FROM3 TO9 STATION_MAC("04", "fe"), true, 1 },
	{ "an answer", 2, VNI BOOT STATION_MAC("00", "00"), true, 1 },
	{ "of two numbers the last counts", 2,
	  VNI BOOT TO9 FROM9 FROM3 TO3 TO9 STATION_MAC("04", "00"), true, 1 },
	{ "an acknowledgement", 3, VNI BOOT TO9, true, 0 },
	{ "a check", 4, VNI STATION_IP6("00", "00"), true, 1 },
	{ "the greatest VNI", 3,
	  "00070004"
	  "00ffffff" BOOT TO9,
	  true, 0 },

	{ "a hello", 1, VNI BOOT TO9, false, 0 },
	{ "a type unknown", 5, VNI BOOT TO9, false, 0 },
	{ "no VNI", 2, BOOT FROM3 TO9, false, 0 },
	{ "VNI 0", 3,
	  "00070004"
	  "00000000" BOOT TO9,
	  false, 0 },
	{ "a VNI too great", 3,
	  "00070004"
	  "01000000" BOOT TO9,
	  false, 0 },
	{ "no BOOT", 2, VNI FROM3 TO9, false, 0 },
	{ "FROM without TO", 2, VNI BOOT FROM3 STATION_MAC("04", "00"), false, 0 },
	{ "TO without FROM", 2, VNI BOOT TO9 STATION_MAC("04", "00"), false, 0 },
	{ "FROM behind TO", 2, VNI BOOT FROM9 TO3, false, 0 },
	{ "a station of FROM", 2, VNI BOOT FROM3 TO9 STATION_MAC("03", "00"), false, 0 },
	{ "a station behind TO", 2, VNI BOOT FROM3 TO9 STATION_MAC("0a", "00"), false, 0 },
	{ "a number twice", 2, VNI BOOT FROM3 TO9 STATION_MAC("04", "00") STATION_IP4("04", "00"),
	  false, 0 },
	{ "numbers falling", 2, VNI BOOT FROM3 TO9 STATION_MAC("05", "00") STATION_IP4("04", "00"),
	  false, 0 },
	{ "an answer without a station", 2, VNI BOOT, false, 0 },
	{ "an answer of two", 2, VNI BOOT STATION_MAC("00", "00") STATION_MAC("00", "00"), false,
	  0 },
	{ "an answer that ends", 2, VNI BOOT STATION_MAC("00", "00") END, false, 0 },
	{ "an acknowledgement without BOOT", 3, VNI TO9, false, 0 },
	{ "without TO", 3, VNI BOOT, false, 0 },
	{ "with FROM", 3, VNI BOOT FROM3 TO9, false, 0 },
	{ "with a station", 3, VNI BOOT TO9 STATION_MAC("04", "00"), false, 0 },
	{ "with an end", 3, VNI BOOT TO9 END, false, 0 },
	{ "a check of nothing", 4, VNI, false, 0 },
	{ "a check of two", 4, VNI STATION_MAC("00", "00") STATION_MAC("00", "00"), false, 0 },
	{ "a check with BOOT", 4, VNI BOOT STATION_MAC("00", "00"), false, 0 },
	{ "a check that ends", 4, VNI STATION_MAC("00", "00") END, false, 0 },

	{ "a short VNI", 3,
	  "00070003"
	  "000007" BOOT TO9,
	  false, 0 },
	{ "a long VNI", 3,
	  "00070005"
	  "0000000700" BOOT TO9,
	  false, 0 },
	{ "a short BOOT", 3,
	  VNI "00060007"
	      "00000000000005" TO9,
	  false, 0 },
	{ "a long TO", 3,
	  VNI BOOT "00090009"
	           "000000000000000900",
	  false, 0 },
	{ "a short FROM", 2,
	  VNI BOOT "00080004"
	           "00000003" TO9,
	  false, 0 },
	{ "an END with something in it", 2, VNI BOOT FROM3 TO3 "000b000100", false, 0 },
	{ "a station of nothing", 4, VNI "000a0000", false, 0 },
	{ "a station cut short", 4,
	  VNI "000a000f"
	      "0000000000000000"
	      "00"
	      "00"
	      "0200000000",
	  false, 0 },
	{ "a MAC with an address", 4,
	  VNI "000a0014"
	      "0000000000000000"
	      "00"
	      "00"
	      "020000000001"
	      "0a070201",
	  false, 0 },
	{ "IPv4 without an address", 4,
	  VNI "000a0010"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001",
	  false, 0 },
	{ "IPv4 with a long one", 4,
	  VNI "000a0020"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201000000000000000000000000",
	  false, 0 },
	{ "IPv6 with a short one", 4,
	  VNI "000a0014"
	      "0000000000000000"
	      "00"
	      "06"
	      "020000000001"
	      "0a070201",
	  false, 0 },
	{ "a family unknown", 4,
	  VNI "000a0020"
	      "0000000000000000"
	      "00"
	      "05"
	      "020000000001"
	      "fd000000000000000000000000000001",
	  false, 0 },
	{ "IPv4 in a VLAN", 4,
	  VNI "000a0016"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "000a",
	  true, 1 },
	{ "IPv4 behind two tags", 4,
	  VNI "000a0018"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "8fff0001",
	  true, 1 },
	{ "IPv6 behind a service tag", 4,
	  VNI "000a0022"
	      "0000000000000000"
	      "00"
	      "06"
	      "020000000001"
	      "fd000000000000000000000000000001"
	      "8064",
	  true, 1 },
	{ "a MAC in a VLAN", 4,
	  VNI "000a0012"
	      "0000000000000000"
	      "00"
	      "00"
	      "020000000001"
	      "000a",
	  false, 0 },
	{ "a tag with a priority", 4,
	  VNI "000a0016"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "200a",
	  false, 0 },
	{ "a second tag with a priority", 4,
	  VNI "000a0018"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "000a100b",
	  false, 0 },
	{ "a tag without a number", 4,
	  VNI "000a0016"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "8000",
	  false, 0 },
	{ "the second tag without a first", 4,
	  VNI "000a0018"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "0000000a",
	  false, 0 },
	{ "a second tag without a number", 4,
	  VNI "000a0018"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "000a8000",
	  false, 0 },
	{ "half a tag", 4,
	  VNI "000a0015"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "01",
	  false, 0 },
	{ "three tags", 4,
	  VNI "000a001a"
	      "0000000000000000"
	      "00"
	      "04"
	      "020000000001"
	      "0a070201"
	      "000100020003",
	  false, 0 },
	{ "a short VNI beside a good one", 3,
	  VNI "00070003"
	      "000007" BOOT TO9,
	  false, 0 },
	{ "a long BOOT beside a good one", 3,
	  VNI BOOT "00060009"
	           "000000000000000500" TO9,
	  false, 0 },
	{ "a short FROM beside a good one", 2, VNI BOOT FROM3 "00080000" TO9, false, 0 },
	{ "a short TO beside a good one", 3, VNI BOOT TO9 "00090000", false, 0 },
	{ "a station cut short beside a good one", 4, VNI STATION_MAC("00", "00") "000a0000", false,
	  0 },
	{ "a value that leaves the message", 3,
	  VNI BOOT "00090009"
	           "0000000000000009",
	  false, 0 },
	{ "half a header", 3, VNI BOOT TO9 "777700", false, 0 },
};

/* Exactly as long as it is, so that a sanitizer sees a byte too many. */
static bool parse(const uint8_t *bytes, uint32_t len, struct announce_message *msg)
{
	uint8_t *copy = test_malloc(len + !len);
	bool good;

	memcpy(copy, bytes, len);
	good = announce_parse(copy, len, msg);
	test_free(copy);
	return good;
}

static uint32_t make(uint8_t out[2048], const struct row *row)
{
	uint32_t len = (uint32_t)unit_hex(out + 4, row->tlvs);

	out[0] = WIRE_CONTROL_FIRST;
	out[1] = row->type;
	store_be16(out + 2, (uint16_t)len);
	return len + 4;
}

static void parse_table(void **state)
{
	struct announce_message msg;
	uint8_t bytes[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t len = make(bytes, &rows[i]);

		if (parse(bytes, len, &msg) != rows[i].good)
			fail_msg("%s", rows[i].what);
		if (!rows[i].good)
			continue;
		assert_int_equal(msg.count, rows[i].count);
		/* Padding behind it is not read, and no more than there is. */
		memset(bytes + len, 0xff, 16);
		assert_true(parse(bytes, len + 16, &msg));
		assert_false(parse(bytes, len - 1, &msg));
		bytes[0] = 0x11;
		assert_false(parse(bytes, len, &msg));
	}
	for (uint32_t len = 0; len < 4; len++)
		assert_false(parse((const uint8_t[]){ 0x10, 3, 0, 0 }, len, &msg));
}

static void what_was_said_is_understood(void **state)
{
	struct announce_message msg;
	uint8_t bytes[2048];

	(void)state;
	assert_true(parse(bytes, make(bytes, &rows[2]), &msg));
	assert_int_equal(msg.type, ANNOUNCE_STATIONS);
	assert_int_equal(msg.vni, 7);
	assert_int_equal(msg.boot, 5);
	assert_true(msg.has_range);
	assert_true(msg.end);
	assert_int_equal(msg.from, 3);
	assert_int_equal(msg.to, 9);
	assert_int_equal(msg.stations[0].key.kind, FDB_MAC);
	assert_memory_equal(msg.stations[0].key.addr, "\x02\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(msg.stations[1].sequence, 5);
	assert_int_equal(msg.stations[1].key.kind, FDB_IPV4);
	assert_memory_equal(msg.stations[1].key.addr, "\x0a\7\2\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(msg.stations[1].mac, "\x02\0\0\0\0\1", 6);
	assert_memory_equal(&msg.stations[1].key.vlans, "\x80\x64\0\x0a", 4);
	assert_false(msg.stations[1].gone);
	assert_int_equal(msg.stations[2].key.kind, FDB_IPV6);
	assert_int_equal(msg.stations[2].key.addr[15], 1);
	assert_true(msg.stations[2].gone);
}

static void there_are_no_more_than_fit(void **state)
{
	static const uint8_t station[] = { 0, 10, 0, 16, 0, 0, 0, 0, 0, 0,
		                           0, 0,  0, 0,  2, 0, 0, 0, 0, 1 };
	struct row row = { "", 2, VNI BOOT "000800080000000000000000" TO9, true, 0 };
	struct announce_message msg;
	uint8_t bytes[2048];
	uint32_t len = make(bytes, &row);

	(void)state;
	bytes[len - 2] = 1; /* up to 265 */
	for (uint8_t i = 1; i <= ANNOUNCE_STATIONS_MAX + 1; i++) {
		memcpy(bytes + len, station, sizeof(station));
		bytes[len + 11] = i;
		len += (uint32_t)sizeof(station);
		store_be16(bytes + 2, (uint16_t)(len - 4));
		assert_int_equal(parse(bytes, len, &msg), i <= ANNOUNCE_STATIONS_MAX);
	}
}

static struct wire_vlans some_vlans(uint64_t *seed)
{
	uint64_t count = unit_random(seed) % (WIRE_VLANS_MAX + 1);
	struct wire_vlans vlans = { 0 };

	for (size_t i = 0; i < count; i++)
		store_be16(vlans.tag[i].b, (uint16_t)((1 + unit_random(seed) % 4094) |
		                                      (unit_random(seed) & WIRE_VLANS_SERVICE)));
	return vlans;
}

static struct fdb_news some_station(uint64_t *seed, uint64_t sequence)
{
	static const uint8_t kinds[] = { FDB_MAC, FDB_IPV4, FDB_IPV6 };
	struct fdb_news news = { .sequence = sequence, .gone = unit_random(seed) & 1 };
	uint8_t addr[16], kind = kinds[unit_random(seed) % 3];

	for (size_t i = 0; i < 16; i++)
		addr[i] = (uint8_t)unit_random(seed);
	memcpy(news.mac, addr, 6);
	news.key =
		kind == FDB_MAC ? fdb_key_mac(news.mac) : fdb_key_in(some_vlans(seed), kind, addr);
	return news;
}

static void make_some(struct announce_message *msg, uint64_t *seed)
{
	memset(msg, 0, sizeof(*msg));
	msg->type = (unsigned int)unit_random(seed) % 3;
	msg->vni = 1 + (uint32_t)(unit_random(seed) % WIRE_VNI_MAX);
	msg->count = msg->type == ANNOUNCE_CHECK;
	if (msg->type != ANNOUNCE_CHECK)
		msg->boot = unit_random(seed);
	if (msg->type == ANNOUNCE_ACK)
		msg->to = unit_random(seed);
	if (msg->type == ANNOUNCE_STATIONS) {
		msg->has_range = unit_random(seed) & 1;
		msg->count = 1;
	}
	if (msg->has_range) {
		msg->from = unit_random(seed) >> 2;
		msg->end = unit_random(seed) & 1;
		msg->count = (uint32_t)(unit_random(seed) % (ANNOUNCE_STATIONS_MAX + 1));
		msg->to = msg->from;
	}
	for (uint32_t i = 0; i < msg->count; i++) {
		if (msg->has_range)
			msg->to += 1 + unit_random(seed) % 1000;
		msg->stations[i] = some_station(seed, msg->to);
	}
	if (msg->has_range)
		msg->to += unit_random(seed) % 1000;
}

static void format_and_parse_agree(void **state)
{
	struct announce_message msg, back;
	uint64_t seed = 4;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		uint8_t bytes[2048];
		uint32_t len;

		make_some(&msg, &seed);
		memset(&back, 0, sizeof(back));
		len = announce_format(bytes, sizeof(bytes), &msg);
		assert_int_not_equal(len, 0);
		assert_true(parse(bytes, len, &back));
		assert_memory_equal(&back, &msg, offsetof(struct announce_message, stations));
		for (uint32_t s = 0; s < msg.count; s++) {
			assert_int_equal(back.stations[s].sequence, msg.stations[s].sequence);
			assert_int_equal(back.stations[s].gone, msg.stations[s].gone);
			assert_memory_equal(&back.stations[s].key, &msg.stations[s].key,
			                    sizeof(struct fdb_key));
			assert_memory_equal(back.stations[s].mac, msg.stations[s].mac, 6);
		}
		/* It is never cut short, and never written beyond its room. */
		uint32_t room = (uint32_t)(unit_random(&seed) % len);
		uint8_t *tight = test_malloc(room + !room);

		assert_int_equal(announce_format(tight, room, &msg), 0);
		test_free(tight);
		tight = test_malloc(len);
		assert_int_equal(announce_format(tight, len, &msg), len);
		test_free(tight);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_table),
		cmocka_unit_test(what_was_said_is_understood),
		cmocka_unit_test(there_are_no_more_than_fit),
		cmocka_unit_test(format_and_parse_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
