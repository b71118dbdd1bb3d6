/* SPDX-License-Identifier: MIT */
/* Probes on the wire: what parses, what does not, and the packet that one stands for. */
#include <stdlib.h>
#include "unit.h"
#include "dataplane/packet.h"
#include "dataplane/probe.h"

static uint8_t out[2048];

static const struct probe_message request4 = {
	.type = WIRE_CONTROL_PROBE,
	.number = 77,
	.packet = { .family = 4,
	            .protocol = IPPROTO_WIRE_ICMP,
	            .len = 84,
	            .source = { 172, 20, 101, 2 },
	            .destination = { 172, 20, 102, 2 } },
};
static const struct probe_message request6 = {
	.type = WIRE_CONTROL_PROBE,
	.number = 1,
	.packet = { .family = 6,
	            .protocol = IPPROTO_WIRE_ICMPV6,
	            .len = 48,
	            .source = { 0xfd, 0x20, [15] = 1 },
	            .destination = { 0xfd, 0x20, [15] = 2 },
	            .vni = 7,
	            .source_mac = { 2, 0, 0, 0, 0, 1 },
	            .destination_mac = { 2, 0, 0, 0, 0, 2 } },
};
static const struct probe_message reply = {
	.type = WIRE_CONTROL_PROBE_REPLY,
	.number = UINT64_MAX,
	.answer = { .stage = PROBE_ADMITTED,
	            .flags = PROBE_PENDING | PROBE_GATEWAY,
	            .reason = "in-no-bridge",
	            .tunnel_mtu = 1420,
	            .tap_mtu = 1500,
	            .received = 1,
	            .lost = 2,
	            .sent = 3,
	            .drops = { { "in-source", 4 }, { "in-vni", UINT64_MAX } },
	            .drop_count = 2 },
};

static uint32_t tlv_end(void)
{
	return (uint32_t)sizeof(struct wire_control) + load_be16(out + 2);
}

static void what_is_said_is_heard(void **state)
{
	const struct probe_message *const messages[] = { &request4, &request6, &reply };
	struct probe_message back;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint32_t len = probe_format(out, 600, messages[i]);

		assert_true(len);
		assert_true(probe_parse(out, len, &back));
		assert_memory_equal(&back, messages[i], sizeof(back));
	}
	/* As long as it is asked for, and zero behind what is said. */
	memset(out, 0xaa, sizeof(out));
	assert_int_equal(probe_format(out, 1420, &request4), 1420);
	for (uint32_t i = tlv_end(); i < 1420; i++)
		assert_int_equal(out[i], 0);
	assert_int_equal(out[1420], 0xaa);
}

static void answers_are_shorter_than_requests(void **state)
{
	struct probe_message longest = reply;

	(void)state;
	memset(longest.answer.reason, 'x', PROBE_NAME_MAX - 1);
	longest.answer.drop_count = PROBE_COUNTERS_MAX;
	for (uint32_t i = 0; i < PROBE_COUNTERS_MAX; i++)
		memset(longest.answer.drops[i].name, 'y', PROBE_NAME_MAX - 1);
	assert_in_range(probe_format(out, PROBE_SIZE_MIN, &longest), 100, PROBE_SIZE_MIN);
	/* In less room than it takes there is none. */
	assert_int_equal(probe_format(out, 200, &longest), 0);
}

/* Every message that ends too early, whatever the header says then. */
static void cut_anywhere(void **state)
{
	const struct probe_message *const messages[] = { &request4, &request6, &reply };
	struct probe_message back;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint32_t end;

		(void)probe_format(out, 600, messages[i]);
		end = tlv_end();
		for (uint32_t len = 0; len < end; len++) {
			uint8_t *copy = malloc(len ? len : 1);

			memcpy(copy, out, len);
			assert_false(probe_parse(copy, len, &back));
			/* With the header's length mended it may end between two TLVs only. */
			if (len >= 4) {
				store_be16(copy + 2, (uint16_t)(len - 4));
				if (probe_parse(copy, len, &back))
					assert_int_equal(back.number, messages[i]->number);
			}
			free(copy);
		}
	}
}

static uint8_t *find_tlv(uint16_t type)
{
	for (uint32_t at = 4; at + 4 <= tlv_end(); at += 4 + load_be16(out + at + 2))
		if (load_be16(out + at) == type)
			return out + at;
	fail();
	return NULL;
}

static bool parses(void)
{
	struct probe_message back;

	return probe_parse(out, 600, &back);
}

static void lies(void **state)
{
	static const uint16_t needed[] = { WIRE_TLV_NUMBER, WIRE_TLV_PACKET, WIRE_TLV_VNI,
		                           WIRE_TLV_LINK };

	(void)state;
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		(void)probe_format(out, 600, &request6);
		assert_true(parses());
		/* Of a type that is not known: as if it were missing. */
		store_be16(find_tlv(needed[i]), 999);
		assert_false(parses());
	}
	(void)probe_format(out, 600, &request6);
	store_be32(find_tlv(WIRE_TLV_VNI) + 4, 0);
	assert_false(parses());
	store_be32(find_tlv(WIRE_TLV_VNI) + 4, WIRE_VNI_MAX + 1);
	assert_false(parses());
	for (unsigned int family = 0; family < 256; family++) {
		(void)probe_format(out, 600, &request4);
		find_tlv(WIRE_TLV_PACKET)[4] = (uint8_t)family;
		assert_int_equal(parses(), family == 4);
	}
	for (uint32_t len = 0; len < 28; len++) {
		(void)probe_format(out, 600, &request4);
		store_be16(find_tlv(WIRE_TLV_PACKET) + 6, (uint16_t)len);
		assert_false(parses());
	}
	(void)probe_format(out, 600, &request4);
	store_be64(find_tlv(WIRE_TLV_NUMBER) + 4, 0);
	assert_false(parses());
	/* Each type is its own. */
	for (unsigned int type = 0; type < 256; type++) {
		(void)probe_format(out, 600, &request4);
		out[1] = (uint8_t)type;
		assert_int_equal(parses(), type == WIRE_CONTROL_PROBE);
		(void)probe_format(out, 600, &reply);
		out[1] = (uint8_t)type;
		assert_int_equal(parses(), type == WIRE_CONTROL_PROBE_REPLY);
	}
}

static void answers_lie(void **state)
{
	(void)state;
	for (unsigned int stage = 0; stage < 256; stage++) {
		(void)probe_format(out, 600, &reply);
		find_tlv(WIRE_TLV_RESULT)[4] = (uint8_t)stage;
		assert_int_equal(parses(), stage >= PROBE_HEARD && stage <= PROBE_ANSWERED);
	}
	/* A name is shown on people's terminals. */
	for (unsigned int c = 0; c < 256; c++) {
		bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';

		(void)probe_format(out, 600, &reply);
		find_tlv(WIRE_TLV_RESULT)[8] = (uint8_t)c;
		assert_int_equal(parses(), good);
		(void)probe_format(out, 600, &reply);
		find_tlv(WIRE_TLV_DROPS)[14] = (uint8_t)c;
		assert_int_equal(parses(), good);
	}
	(void)probe_format(out, 600, &reply);
	store_be16(find_tlv(WIRE_TLV_RESULT), 999);
	assert_false(parses());
}

/* More counters than there is room for, and a name longer than any. */
static void too_much(void **state)
{
	struct probe_message back;
	uint32_t len = probe_format(out, 600, &reply), more = 20;

	(void)state;
	for (uint32_t i = 0; i < more; i++, len += 13) {
		store_be16(out + len, WIRE_TLV_DROPS);
		store_be16(out + len + 2, 9);
		store_be64(out + len + 4, i);
		out[len + 12] = 'a';
	}
	store_be16(out + 2, (uint16_t)(len - 4));
	assert_true(probe_parse(out, len, &back));
	assert_int_equal(back.answer.drop_count, PROBE_COUNTERS_MAX);
	len = probe_format(out, 600, &reply);
	store_be16(out + len, WIRE_TLV_DROPS);
	store_be16(out + len + 2, 8 + PROBE_NAME_MAX);
	memset(out + len + 4, 'a', 8 + PROBE_NAME_MAX);
	store_be16(out + 2, (uint16_t)(len + 8 + PROBE_NAME_MAX));
	assert_false(probe_parse(out, len + 4 + 8 + PROBE_NAME_MAX, &back));
}

static void packets_are_right(void **state)
{
	const struct probe_message *const requests[] = { &request4, &request6 };
	static const uint32_t lens[] = { 60, 61, 84, 1420, 2047 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct probe_packet *packet = &requests[i]->packet;

		for (size_t j = 0; j < sizeof(lens) / sizeof(*lens); j++) {
			uint32_t head = packet->family == 4 ? 20 : 40, len = lens[j];
			struct packet pkt;
			uint64_t sum;

			assert_int_equal(probe_make_packet(packet, len, 0x12345678, out), len);
			assert_true(packet_parse_ip(out, len, &pkt));
			assert_int_equal(pkt.len, len);
			assert_true(packet_is_icmp(&pkt));
			assert_memory_equal(pkt.source, packet->source, packet_addr_len(&pkt));
			if (packet->family == 4)
				assert_true(packet_ipv4_checksum_ok(&pkt));
			sum = packet->family == 4
			              ? 0
			              : checksum_pseudo(&pkt, IPPROTO_WIRE_ICMPV6, len - head);
			assert_int_equal(checksum_fold(checksum_add(sum, out + head, len - head)),
			                 0);
			assert_int_equal(load_be32(out + head + 4), 0x12345678);
		}
		assert_int_equal(probe_make_packet(packet, packet->family == 4 ? 27 : 47, 0, out),
		                 0);
	}
	struct probe_packet other = request4.packet;

	other.protocol = IPPROTO_WIRE_TCP;
	assert_int_equal(probe_make_packet(&other, 84, 0, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_is_heard),
		cmocka_unit_test(answers_are_shorter_than_requests),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(lies),
		cmocka_unit_test(answers_lie),
		cmocka_unit_test(too_much),
		cmocka_unit_test(packets_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
