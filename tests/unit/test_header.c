/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/header.h"

#define MACS "\x02\x42\xac\x14\x01\x02\x02\x42\xac\x14\x01\x01"
#define IPV4_OF(proto) \
	"\x45\x00\x00\x3c\x00\x01\x40\x00\x40" proto "\x00\x00\xac\x14\x01\x02\xac\x14\x02\x03"
#define IPV6_OF(next)                          \
	"\x60\x00\x00\x00\x00\x14" next "\x40" \
	"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01" \
	"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
#define TCP_SYN_443 "\x13\x88\x01\xbb\0\0\0\0\0\0\0\0\x50\x02\0\0\0\0\0\0"
#define UDP_7       "\x00\x07\x00\x09\x00\x10\x00\x00"

struct row {
	const char *bytes;
	size_t len;
	enum header_kind kind;
	size_t headers; /* of them */
	const char *text;
};
#define ROW(kind, bytes, headers, text)                       \
	{                                                     \
		bytes, sizeof(bytes) - 1, kind, headers, text \
	}

static const struct row rows[] = {
	ROW(HEADER_FRAME, MACS "\x08\x00" IPV4_OF("\x06") TCP_SYN_443 "payload", 54,
	    "02:42:ac:14:01:01 > 02:42:ac:14:01:02, IPv4 172.20.1.2:5000 > 172.20.2.3:443 TCP [S], "
	    "TTL 64, 60 bytes"),
	ROW(HEADER_FRAME,
	    MACS "\x88\xa8\x20\x0a\x81\x00\x00\x14\x86\xdd" IPV6_OF("\x11") UDP_7 "payload", 70,
	    "02:42:ac:14:01:01 > 02:42:ac:14:01:02 VLAN 10 VLAN 20, IPv6 [fd00::1]:7 > [fd00::2]:9 "
	    "UDP, TTL 64, 60 bytes"),
	ROW(HEADER_FRAME,
	    MACS "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x42\xac\x14\x01\x01\xac\x14\x01\x02"
	         "\0\0\0\0\0\0\xac\x14\x02\x03",
	    42,
	    "02:42:ac:14:01:01 > 02:42:ac:14:01:02, ARP request, 172.20.1.2 asks for 172.20.2.3"),
	ROW(HEADER_FRAME, MACS "\x88\xcc payload", 14,
	    "02:42:ac:14:01:01 > 02:42:ac:14:01:02 ethertype 0x88cc"),
	ROW(HEADER_PLAINTEXT, IPV4_OF("\x01") "\x08\x00\0\0\0\0\0\0payload", 28,
	    "IPv4 172.20.1.2 > 172.20.2.3 ICMP type 8 code 0, TTL 64, 60 bytes"),
	/* The transport is cut off: what there is of it is no header. */
	ROW(HEADER_PLAINTEXT, IPV4_OF("\x06") "\x13\x88", 20,
	    "IPv4 172.20.1.2 > 172.20.2.3 TCP, TTL 64, 60 bytes"),
	ROW(HEADER_PLAINTEXT, "\x08\0\0\0\0\0\x07\0" MACS "\x08\x00" IPV4_OF("\x11") UDP_7, 50,
	    "VNI 7, 02:42:ac:14:01:01 > 02:42:ac:14:01:02, IPv4 172.20.1.2:7 > 172.20.2.3:9 UDP, "
	    "TTL 64, 60 bytes"),
	ROW(HEADER_PLAINTEXT, "\x10\x03\x00\x20payload", 4, "control message of type 3"),
	ROW(HEADER_PLAINTEXT, "\xf0payload", 0, ""),
	ROW(HEADER_DATAGRAM, "\x04\0\0\0\x01\x02\x03\x04\x05\0\0\0\0\0\0\0sealed bytes", 16,
	    "data for index 04030201, counter 5"),
	/* Behind the sender comes a key: none of it is a header. */
	ROW(HEADER_DATAGRAM, "\x01\0\0\0\x01\x02\x03\x04KEYKEYKEYKEYKEY", 8,
	    "handshake initiation"),
	ROW(HEADER_DATAGRAM, "\x02\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08KEYKEYKEY", 12,
	    "handshake response for index 08070605"),
	ROW(HEADER_DATAGRAM, "\x03\0\0\0\x01\x02\x03\x04noncenonce", 8,
	    "cookie reply for index 04030201"),
	ROW(HEADER_DATAGRAM, "\x09\0\0\0junkjunkjunk", 8, "no message of the protocol"),
};

static void each_kind_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t *bytes = (const uint8_t *)rows[i].bytes;
		struct header header, again;
		char text[HEADER_TEXT];

		header_parse(&header, rows[i].kind, bytes, (uint32_t)rows[i].len);
		header_format(&header, rows[i].kind, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(header.len, rows[i].headers);
		/* The headers alone say the same: the recorder has no more. */
		header_parse(&again, rows[i].kind, bytes, header.len);
		header_format(&again, rows[i].kind, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(again.len, header.len);
	}
}

/* Each from a block of its own, so that a sanitizer sees one byte too far. */
static void nothing_is_read_beyond_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t len = 0; len <= rows[i].len; len++) {
			uint8_t *bytes = malloc(len ? len : 1);
			char text[HEADER_TEXT];
			struct header header;

			assert_non_null(bytes);
			memcpy(bytes, rows[i].bytes, len);
			for (int kind = HEADER_NONE; kind <= HEADER_FRAME; kind++) {
				header_parse(&header, (enum header_kind)kind, bytes, (uint32_t)len);
				header_format(&header, (enum header_kind)kind, text);
				assert_true(header.len <= len && header.len <= HEADER_MAX);
				assert_true(strlen(text) < HEADER_TEXT - 1);
			}
			free(bytes);
		}
	}
}

/* IPv4 options as long as they get, behind all that may stand before them. */
static void the_longest_fit_or_are_left_out(void **state)
{
	uint8_t bytes[200] = { 0x08 };
	struct header header;

	(void)state;
	bytes[8 + 12] = 0x81;
	bytes[8 + 16] = 0x81;
	bytes[8 + 20] = 0x08;
	bytes[8 + 22] = 0x4f;
	bytes[8 + 22 + 9] = IPPROTO_WIRE_TCP;
	header_parse(&header, HEADER_PLAINTEXT, bytes, sizeof(bytes));
	assert_int_equal(header.vlan_count, 2);
	assert_int_equal(header.family, 4);
	assert_int_equal(header.len, 8 + 22 + 60);
	assert_false(header.has_ports);
	bytes[8 + 22] = 0x4a;
	header_parse(&header, HEADER_PLAINTEXT, bytes, sizeof(bytes));
	assert_int_equal(header.len, 8 + 22 + 40 + 20);
	assert_true(header.has_ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_told),
		cmocka_unit_test(nothing_is_read_beyond_the_end),
		cmocka_unit_test(the_longest_fit_or_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
