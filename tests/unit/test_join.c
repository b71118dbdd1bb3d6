/* SPDX-License-Identifier: MIT */
/* Messages about joining: what parses and what does not. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include "dataplane/join.h"

#define HOST       \
	"00200020" \
	"1111111111111111111111111111111111111111111111111111111111111111"
#define NUMBER "000c00080000000000000009"
#define NAME       \
	"00210002" \
	"6234" /* b4 */
#define ENDPOINT   \
	"00220003" \
	"613a31" /* a:1 */
#define PREFIX     \
	"00230006" \
	"0418ac146800" /* 172.20.104.0/24 */
#define PREFIX6    \
	"00230012" \
	"0630fd200000000400000000000000000000"
#define VNI     "0007000400000007"
#define SPEAKER "00240000"
#define YES     "002500020000"
#define NO      "002500020001"
#define TEXT       \
	"00260002" \
	"6e6f"
#define PROOF "0027001000112233445566778899aabbccddeeff"
#define AFTER      \
	"00280020" \
	"2222222222222222222222222222222222222222222222222222222222222222"
#define BRIDGE     \
	"00290004" \
	"6f766c30"
#define SUBNET     \
	"002a0006" \
	"0410ac140000"
#define END "000b0000"

static const struct {
	const char *what;
	uint8_t type;
	const char *tlvs;
	bool good;
	uint32_t hosts;
} rows[] = {
	{ "join", 9, HOST NAME PROOF, true, 1 },
	{ "join with all there is", 9, HOST NAME ENDPOINT PREFIX PROOF AFTER, true, 1 },
	{ "join, unknown types between", 9, "7777000101" HOST "777800020102" NAME PROOF, true, 1 },
	{ "join of nobody", 9, PROOF, false, 0 },
	{ "join of two", 9, HOST HOST PROOF, false, 0 },
	{ "proof too short", 9, HOST "0027000f00112233445566778899aabbccddee", false, 0 },
	{ "after too short", 9, HOST "0028000101", false, 0 },
	{ "yes", 10, YES BRIDGE SUBNET HOST NAME PREFIX HOST PREFIX6 SPEAKER END, true, 2 },
	{ "no", 10, NO TEXT, true, 0 },
	{ "yes to nobody", 10, YES BRIDGE SUBNET END, false, 0 },
	{ "introduce", 11, NUMBER HOST NAME ENDPOINT PREFIX, true, 1 },
	{ "introduce a member", 11, NUMBER HOST PREFIX VNI, true, 1 },
	{ "introduce without number", 11, HOST PREFIX, false, 0 },
	{ "introduce as number 0", 11, "000c00080000000000000000" HOST, false, 0 },
	{ "introduce nobody", 11, NUMBER, false, 0 },
	{ "introduce two", 11, NUMBER HOST HOST, false, 0 },
	{ "taken", 12, NUMBER YES, true, 0 },
	{ "not taken", 12, NUMBER NO TEXT, true, 0 },
	{ "an answer to nothing", 12, YES, false, 0 },
	{ "an answer with a host", 12, NUMBER YES HOST, false, 0 },
	{ "a name before any host", 11, NUMBER NAME HOST, false, 0 },
	{ "a key too short", 11, NUMBER "0020001f1111", false, 0 },
	{ "a name with a line end", 11,
	  NUMBER HOST "00210002"
	              "620a",
	  false, 0 },
	{ "a name with a zero", 11,
	  NUMBER HOST "00210002"
	              "6200",
	  false, 0 },
	{ "a name beyond ASCII", 11,
	  NUMBER HOST "00210002"
	              "c3a4",
	  false, 0 },
	{ "a prefix of no family", 11,
	  NUMBER HOST "00230006"
	              "0518ac146800",
	  false, 0 },
	{ "a prefix with bits behind its length", 11,
	  NUMBER HOST "00230006"
	              "0417ac146900",
	  false, 0 },
	{ "a prefix too long", 11,
	  NUMBER HOST "00230006"
	              "0421ac146800",
	  false, 0 },
	{ "a prefix too short", 11,
	  NUMBER HOST "00230005"
	              "0418ac1468",
	  false, 0 },
	{ "a prefix of nothing", 11, NUMBER HOST "00230000", false, 0 },
	{ "IPv6 with an address of IPv4", 11,
	  NUMBER HOST "00230006"
	              "0618ac146800",
	  false, 0 },
	{ "VNI 0", 11, NUMBER HOST "0007000400000000", false, 0 },
	{ "a VNI of 25 bits", 11, NUMBER HOST "0007000401000000", false, 0 },
	{ "a speaker with a value", 10, YES HOST "0024000100", false, 0 },
	{ "an end with a value", 10, YES HOST "000b000100", false, 0 },
	{ "a verdict of one byte", 12, NUMBER "0025000100", false, 0 },
	{ "a TLV that leaves the message", 12,
	  NUMBER YES "00260009"
	             "6e6f",
	  false, 0 },
	{ "echo", 5, NUMBER, false, 0 },
	{ "a type behind the last", 13, NUMBER YES, false, 0 },
};

static uint32_t make(uint8_t *out, uint8_t type, const char *tlvs)
{
	uint32_t len = (uint32_t)unit_hex(out + 4, tlvs);

	out[0] = 0x10;
	out[1] = type;
	store_be16(out + 2, (uint16_t)len);
	return len + 4;
}

static void test_rows(void **state)
{
	static struct join_message message;
	uint8_t bytes[POST_SIZE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t len = make(bytes, rows[i].type, rows[i].tlvs);

		if (join_parse(bytes, len, &message) != rows[i].good)
			fail_msg("%s", rows[i].what);
		if (rows[i].good && message.host_count != rows[i].hosts)
			fail_msg("%s: %u hosts", rows[i].what, message.host_count);
	}
}

static void test_all_is_read(void **state)
{
	static struct join_message message;
	uint8_t bytes[POST_SIZE_MAX];
	char text[PREFIX_TEXT_MAX];

	(void)state;
	assert_true(join_parse(
		bytes,
		make(bytes, 10,
	             YES BRIDGE SUBNET HOST NAME ENDPOINT PREFIX VNI HOST PREFIX6 SPEAKER),
		&message));
	assert_false(message.refused || message.end);
	assert_string_equal(message.bridge, "ovl0");
	prefix_format(&message.subnets[0], text);
	assert_string_equal(text, "172.20.0.0/16");
	assert_string_equal(message.hosts[0].name, "b4");
	assert_string_equal(message.hosts[0].endpoint, "a:1");
	assert_int_equal(message.hosts[0].vni, 7);
	assert_false(message.hosts[0].introducer);
	prefix_format(&message.hosts[0].prefixes[0], text);
	assert_string_equal(text, "172.20.104.0/24");
	assert_true(message.hosts[1].introducer);
	prefix_format(&message.hosts[1].prefixes[0], text);
	assert_string_equal(text, "fd20:0:4::/48");
	assert_int_equal(message.hosts[1].prefix_count, 1);
}

/* What was formatted parses to the same, however much there is. */
static void test_what_is_said_is_heard(void **state)
{
	static struct join_message message, again;
	uint8_t bytes[POST_SIZE_MAX];
	uint32_t len;

	(void)state;
	for (uint32_t hosts = 0; hosts <= 4; hosts++) {
		memset(&message, 0, sizeof(message));
		memset(&again, 0, sizeof(again));
		message.type = WIRE_CONTROL_JOIN_REPLY;
		message.refused = hosts == 0;
		message.host_count = hosts;
		message.end = hosts & 1;
		strcpy(message.text, "why");
		for (uint32_t i = 0; i < hosts; i++) {
			struct join_host *host = &message.hosts[i];

			memset(host->key, (int)i + 1, KEY_SIZE);
			strcpy(host->name, "barge4");
			host->vni = i;
			host->introducer = i == 1;
			for (; host->prefix_count < i; host->prefix_count++)
				assert_true(prefix_parse(&host->prefixes[host->prefix_count],
				                         "fd20:0:4::/48"));
		}
		len = join_format(bytes, &message);
		assert_int_not_equal(len, 0);
		assert_true(join_parse(bytes, len, &again));
		assert_memory_equal(&message, &again, sizeof(message));
	}
}

static void test_what_does_not_fit_is_not_said(void **state)
{
	static struct join_message message;
	uint8_t bytes[POST_SIZE_MAX];

	(void)state;
	message.type = WIRE_CONTROL_JOIN_REPLY;
	message.host_count = JOIN_HOSTS_MAX;
	for (uint32_t i = 0; i < JOIN_HOSTS_MAX; i++)
		strcpy(message.hosts[i].name, "a-rather-long-name-for-a-host");
	assert_int_equal(join_format(bytes, &message), 0);
	message.host_count = 10;
	assert_int_not_equal(join_format(bytes, &message), 0);
}

/* Nothing behind the end is read, and nothing of a message that was cut. */
static void test_every_truncation(void **state)
{
	static struct join_message message;
	uint8_t bytes[POST_SIZE_MAX], *copy;
	uint32_t whole = make(bytes, 11, NUMBER HOST NAME ENDPOINT PREFIX);

	(void)state;
	for (uint32_t len = 0; len < whole; len++) {
		copy = malloc(len ? len : 1);
		assert_non_null(copy);
		memcpy(copy, bytes, len);
		assert_false(join_parse(copy, len, &message));
		free(copy);
	}
}

static void test_too_many(void **state)
{
	static struct join_message message;
	uint8_t bytes[POST_SIZE_MAX];
	uint32_t len = make(bytes, 11, NUMBER HOST);

	(void)state;
	for (unsigned int i = 0; i <= JOIN_PREFIXES_MAX; i++) {
		assert_true(join_parse(bytes, len, &message));
		len += (uint32_t)unit_hex(bytes + len, PREFIX);
		store_be16(bytes + 2, (uint16_t)(len - 4));
	}
	assert_false(join_parse(bytes, len, &message));
	len = make(bytes, 10, YES);
	for (unsigned int i = 0; i <= JOIN_HOSTS_MAX; i++) {
		len += (uint32_t)unit_hex(bytes + len, HOST);
		store_be16(bytes + 2, (uint16_t)(len - 4));
		assert_int_equal(join_parse(bytes, len, &message), i < JOIN_HOSTS_MAX);
	}
}

/* Not one to another host, nor a page that was asked for before and is late. */
static void test_which_answers_what(void **state)
{
	static const struct {
		const char *what;
		uint8_t own, introducer, member; /* of the page; 0: not there */
		uint8_t after;
		bool refused, answers;
	} cases[] = {
		{ "the first page", 5, 1, 2, 0, false, true },
		{ "the next one", 5, 0, 3, 2, false, true },
		{ "nothing but an end", 5, 0, 0, 9, false, true },
		{ "the first page again, late", 5, 1, 2, 2, false, false },
		{ "the next one again, late", 5, 0, 3, 4, false, false },
		{ "another host's", 6, 1, 2, 0, false, false },
		{ "no", 0, 0, 0, 2, true, true },
	};
	static struct join_message ask, reply;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&ask, 0, sizeof(ask));
		memset(&reply, 0, sizeof(reply));
		memset(ask.hosts[0].key, 5, KEY_SIZE);
		memset(ask.after, cases[i].after, KEY_SIZE);
		reply.refused = cases[i].refused;
		if (cases[i].own)
			memset(reply.hosts[reply.host_count++].key, cases[i].own, KEY_SIZE);
		if (cases[i].introducer) {
			reply.hosts[reply.host_count].introducer = true;
			memset(reply.hosts[reply.host_count++].key, cases[i].introducer, KEY_SIZE);
		}
		if (cases[i].member)
			memset(reply.hosts[reply.host_count++].key, cases[i].member, KEY_SIZE);
		if (join_answers(&reply, &ask) != cases[i].answers)
			fail_msg("%s", cases[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_all_is_read),
		cmocka_unit_test(test_what_is_said_is_heard),
		cmocka_unit_test(test_what_does_not_fit_is_not_said),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_which_answers_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
