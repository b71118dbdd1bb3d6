/* SPDX-License-Identifier: MIT */
/* Questions and answers about neighbours, against bytes that scapy made. */
#include "unit.h"

#include "dataplane/neigh.h"

static const uint8_t router[] = { 0x06, 0x11, 0x22, 0x33, 0x44, 0x55 };
static const uint8_t host[] = { 0x02, 0x42, 0xac, 0x14, 0x65, 0x07 };

static void expect_frame(const uint8_t *frame, uint32_t len, const char *hex)
{
	uint8_t want[NEIGH_FRAME_MAX];

	assert_int_equal(unit_hex(want, hex), len);
	assert_memory_equal(frame, want, len);
}

static void test_arp_questions(void **state)
{
	struct neigh_question question = { .addr = { 4, { 172, 20, 101, 7 } } };
	uint8_t frame[NEIGH_FRAME_MAX];

	(void)state;
	memset(question.mac, 0xff, ETHER_ADDR_SIZE);
	expect_frame(frame, neigh_make_question(frame, router, &question),
	             "ffffffffffff06112233445508060001"
	             "08000604000106112233445500000000"
	             "000000000000ac146507");
	memcpy(question.mac, host, ETHER_ADDR_SIZE);
	expect_frame(frame, neigh_make_question(frame, router, &question),
	             "0242ac14650706112233445508060001"
	             "08000604000106112233445500000000"
	             "000000000000ac146507");
}

static void test_arp_replies(void **state)
{
	struct wire_arp request;
	uint8_t frame[NEIGH_FRAME_MAX];

	(void)state;
	assert_int_equal(unit_hex((uint8_t *)&request, "00010800060400010242ac146507ac14"
	                                               "6507000000000000ac146609"),
	                 sizeof(request));
	expect_frame(frame, neigh_make_arp_reply(frame, router, &request),
	             "0242ac14650706112233445508060001"
	             "080006040002061122334455ac146609"
	             "0242ac146507ac146507");
	/* To a probe (RFC 5227): its sender has no address yet. */
	memset(request.sender_ip, 0, 4);
	expect_frame(frame, neigh_make_arp_reply(frame, router, &request),
	             "0242ac14650706112233445508060001"
	             "080006040002061122334455ac146609"
	             "0242ac14650700000000");
}

static void test_solicitations(void **state)
{
	struct neigh_question question = { .addr.family = 6 };
	uint8_t frame[NEIGH_FRAME_MAX];

	(void)state;
	unit_hex(question.addr.addr, "fd000020010100000000000000abcdef");
	memset(question.mac, 0xff, ETHER_ADDR_SIZE);
	expect_frame(frame, neigh_make_question(frame, router, &question),
	             "3333ffabcdef06112233445586dd6000"
	             "000000203afffe800000000000000411"
	             "22fffe334455ff020000000000000000"
	             "0001ffabcdef8700099400000000fd00"
	             "0020010100000000000000abcdef0101"
	             "061122334455");
	memcpy(question.mac, host, ETHER_ADDR_SIZE);
	expect_frame(frame, neigh_make_question(frame, router, &question),
	             "0242ac14650706112233445586dd6000"
	             "000000203afffe800000000000000411"
	             "22fffe334455fd000020010100000000"
	             "000000abcdef8700097700000000fd00"
	             "0020010100000000000000abcdef0101"
	             "061122334455");
}

static void test_advertisements(void **state)
{
	uint8_t frame[NEIGH_FRAME_MAX], asker[16], target[16];

	(void)state;
	unit_hex(asker, "fd000020010100000000000000000007");
	unit_hex(target, "fd000020010200000000000000000009");
	/* S and O; never R. */
	expect_frame(frame, neigh_make_advert(frame, router, host, asker, target),
	             "0242ac14650706112233445586dd6000"
	             "000000203afffd000020010200000000"
	             "000000000009fd000020010100000000"
	             "0000000000078800ae8960000000fd00"
	             "00200102000000000000000000090201"
	             "061122334455");
	/* To who asked from "::", and so to all nodes: O alone. */
	expect_frame(frame, neigh_make_advert(frame, router, host, NULL, target),
	             "33330000000106112233445586dd6000"
	             "000000203afffd000020010200000000"
	             "000000000009ff020000000000000000"
	             "0000000000018800edae20000000fd00"
	             "00200102000000000000000000090201"
	             "061122334455");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp_questions),
		cmocka_unit_test(test_arp_replies),
		cmocka_unit_test(test_solicitations),
		cmocka_unit_test(test_advertisements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
