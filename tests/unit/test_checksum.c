/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "dataplane/packet.h"
#include "packet_build.h"

static uint8_t data[BUILD_MAX];

static struct packet build(const struct build *b)
{
	struct packet pkt;

	assert_true(packet_parse_ip(data, build_packet(b, data), &pkt));
	return pkt;
}

static void checksum_agrees_with_its_slow_twin(void **state)
{
	uint64_t random = 3;

	(void)state;
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)build_random(&random);
	for (uint32_t start = 0; start < 9; start++) {
		for (uint32_t len = 0; len < 400; len++)
			assert_int_equal(checksum_fold(checksum_add(0, data + start, len)),
			                 slow_checksum(data + start, len, 0));
	}
	for (uint32_t len = 65000; len <= 65575; len++)
		assert_int_equal(checksum_fold(checksum_add(0, data, len)),
		                 slow_checksum(data, len, 0));
	/* In pieces, all but the last of even length. */
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t a = build_random(&random) % 1000 * 2;
		uint32_t b = build_random(&random) % 100 * 2;
		uint32_t c = build_random(&random) % 1000;
		uint64_t sum = checksum_add(0, data, a);

		sum = checksum_add(sum, data + a, b);
		sum = checksum_add(sum, data + a + b, c);
		assert_int_equal(checksum_fold(sum), slow_checksum(data, a + b + c, 0));
	}
}

static void checksum_of_all_ones_and_zeros(void **state)
{
	uint64_t sum = 0;

	(void)state;
	memset(data, 0xff, sizeof(data));
	assert_int_equal(checksum_fold(checksum_add(0, data, sizeof(data))), 0);
	assert_int_equal(checksum_fold(checksum_add(0, data, 1)), 0x00ff);
	for (int i = 0; i < 3000; i++) /* carried on and on it does not overflow */
		sum = checksum_add(sum, data, sizeof(data));
	assert_int_equal(checksum_fold(sum), 0);
	assert_int_equal(checksum_fold(UINT64_MAX), 0);
	memset(data, 0, sizeof(data));
	assert_int_equal(checksum_fold(checksum_add(0, data, sizeof(data))), 0xffff);
}

static void checksum_update_agrees_with_a_new_sum(void **state)
{
	uint64_t random = 4;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint8_t bytes[20];
		uint16_t field;
		uint16_t old_word;
		uint16_t new_word = (uint16_t)build_random(&random);

		for (int k = 0; k < 20; k++)
			bytes[k] = (uint8_t)build_random(&random);
		if (i % 4 == 0)
			new_word = i % 8 ? 0 : 0xffff;
		field = slow_checksum(bytes, 20, 0);
		old_word = load_be16(bytes + 6);
		store_be16(bytes + 6, new_word);
		assert_int_equal(checksum_update(field, old_word, new_word),
		                 slow_checksum(bytes, 20, 0));
	}
}

static void transport_checksums_are_verified(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 4; row++) {
		for (uint32_t payload = 0; payload < 70; payload++) {
			struct packet pkt = build(&(struct build){
				.family = row & 1 ? 6 : 4,
				.proto = row & 2 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP,
				.payload = payload,
				.seed = payload,
			});
			uint32_t at = pkt.l4 + payload % (pkt.len - pkt.l4);

			assert_true(packet_l4_checksum_ok(&pkt));
			pkt.data[at] ^= 0x40;
			if (!(row & 2) || (at - pkt.l4 != 4 && at - pkt.l4 != 5))
				assert_false(packet_l4_checksum_ok(&pkt));
			pkt.data[at] ^= 0x40;
			/* The pseudo-header's addresses count. */
			pkt.data[pkt.family == 4 ? 13 : 12] ^= 1;
			assert_false(packet_l4_checksum_ok(&pkt));
		}
	}
}

static void udp_without_checksum_is_right_in_ipv4_only(void **state)
{
	struct packet pkt;

	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		pkt = build(&(struct build){ .family = family,
		                             .proto = IPPROTO_WIRE_UDP,
		                             .payload = 9,
		                             .no_checksum = true });
		assert_int_equal(packet_l4_checksum_ok(&pkt), family == 4);
	}
	pkt = build(&(struct build){ .proto = IPPROTO_WIRE_ICMP });
	assert_false(packet_l4_checksum_ok(&pkt));
	pkt = build(&(struct build){ .fragment = IPV4_MF, .payload = 12 });
	assert_false(packet_l4_checksum_ok(&pkt));
}

static void ipv4_header_checksum(void **state)
{
	static const uint8_t options[40] = { 7, 39, 4, 1, 2, 3 };

	(void)state;
	for (uint32_t len = 0; len <= 40; len += 4) {
		struct packet pkt = build(&(struct build){
			.payload = 3, .ip_options = options, .ip_options_len = len });
		uint16_t right = load_be16(data + 10);

		assert_true(packet_ipv4_checksum_ok(&pkt));
		store_be16(data + 10, 0x1111);
		assert_false(packet_ipv4_checksum_ok(&pkt));
		packet_ipv4_checksum_fill(data);
		assert_int_equal(load_be16(data + 10), right);
	}
}

static void ecn_is_set_and_nothing_else(void **state)
{
	uint8_t before[100];

	(void)state;
	for (uint32_t tos = 0; tos < 256; tos++) {
		for (uint8_t ecn = 0; ecn < 4; ecn++) {
			for (uint8_t family = 4; family <= 6; family += 2) {
				struct packet pkt = build(&(struct build){ .family = family,
				                                           .tos = (uint8_t)tos,
				                                           .id = (uint16_t)tos });

				if (family == 6)
					store_be32(data, load_be32(data) | 0xabcde);
				memcpy(before, data, 60);
				packet_set_ecn(&pkt, ecn);
				assert_int_equal(pkt.tos, (tos & 0xfc) | ecn);
				assert_true(packet_ipv4_checksum_ok(&pkt));
				if (family == 4)
					assert_int_equal(data[1], pkt.tos);
				else
					assert_int_equal(load_be32(data),
					                 6u << 28 | 0xabcdeu |
					                         (uint32_t)pkt.tos << 20);
				packet_set_ecn(&pkt, tos & 3);
				assert_memory_equal(before, data, 60);
			}
		}
	}
}

static void transport_checksum_is_filled(void **state)
{
	static uint8_t ip[BUILD_MAX], copy[BUILD_MAX];

	(void)state;
	for (uint32_t row = 0; row < 4 * 300; row++) {
		struct build b = { .family = row & 1 ? 6 : 4,
			           .proto = row & 2 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP,
			           .payload = row / 4,
			           .seed = row };
		uint32_t len = build_packet(&b, ip);
		struct packet pkt;
		uint32_t at;

		memcpy(copy, ip, len);
		assert_true(packet_parse_ip(copy, len, &pkt));
		at = packet_l4_checksum_at(&pkt);
		assert_int_equal(at, pkt.l4 + (row & 2 ? 6 : 16));
		store_be16(copy + at, (uint16_t)row);
		packet_l4_checksum_fill(&pkt);
		assert_memory_equal(copy, ip, len);
		if (!(row & 2) || row / 4 < 2)
			continue;
		/* Payload that makes the sum zero: UDP has all ones then, or none. */
		store_be16(copy + pkt.payload, load_be16(copy + at));
		store_be16(ip + pkt.payload, 0);
		build_checksum(ip, pkt.l4, pkt.proto, len);
		store_be16(copy + pkt.payload, load_be16(ip + at));
		packet_l4_checksum_fill(&pkt);
		assert_int_equal(load_be16(copy + at), 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_agrees_with_its_slow_twin),
		cmocka_unit_test(checksum_of_all_ones_and_zeros),
		cmocka_unit_test(checksum_update_agrees_with_a_new_sum),
		cmocka_unit_test(transport_checksums_are_verified),
		cmocka_unit_test(udp_without_checksum_is_right_in_ipv4_only),
		cmocka_unit_test(transport_checksum_is_filled),
		cmocka_unit_test(ipv4_header_checksum),
		cmocka_unit_test(ecn_is_set_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
