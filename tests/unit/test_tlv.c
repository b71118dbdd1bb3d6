/* SPDX-License-Identifier: MIT */
/* Control messages: their bounds, on the way in and on the way out. */
#include "unit.h"
#include "dataplane/tlv.h"

/* Exactly as long as it is, so that a sanitizer sees a byte too many. */
static uint8_t *load(const char *hex, uint32_t *len)
{
	uint8_t bytes[64], *data;

	*len = (uint32_t)unit_hex(bytes, hex);
	data = test_malloc(*len + !*len);
	memcpy(data, bytes, *len);
	return data;
}

static void bounds_table(void **state)
{
	static const struct {
		const char *hex;
		bool opens;
		uint32_t count; /* of TLVs before the end, or before what is wrong */
		bool malformed;
	} rows[] = {
		{ "", false, 0, false },
		{ "100100", false, 0, false },
		{ "10010000", true, 0, false },
		/* the header's length leaves the message */
		{ "10010001", false, 0, false },
		{ "10010005aaaa0000", false, 0, false },
		{ "1001ffffaaaa0000", false, 0, false },
		/* what is behind it is padding */
		{ "10010000aaaa0001", true, 0, false },
		{ "10010004aaaa0000bbbb", true, 1, false },
		{ "1001000baaaa0000bbbb000301020300", true, 2, false },
		/* it ends within a TLV's header, though there are bytes behind */
		{ "10010001aaaa0000", true, 0, true },
		{ "10010003aaaa0000", true, 0, true },
		{ "10010007aaaa0000bbbb0000", true, 1, true },
		/* and within a value */
		{ "10010004aaaa000101", true, 0, true },
		{ "10010005aaaa00020102", true, 0, true },
		{ "1001000aaaaa0000bbbb00030102", true, 1, true },
		{ "10010004aaaaffff", true, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t len, count = 0;
		uint8_t *data = load(rows[i].hex, &len);
		struct tlv_reader in;
		struct tlv tlv;

		if (tlv_open(&in, data, len) != rows[i].opens)
			fail_msg("%s", rows[i].hex);
		while (rows[i].opens && tlv_next(&in, &tlv))
			count++;
		if (count != rows[i].count)
			fail_msg("%s: %u TLVs", rows[i].hex, count);
		/* What was wrong stays so. */
		if (rows[i].opens && (tlv_next(&in, &tlv) || in.malformed != rows[i].malformed))
			fail_msg("%s", rows[i].hex);
		test_free(data);
	}
}

static void each_is_given(void **state)
{
	uint32_t len;
	uint8_t *data = load("1001000bfffe00030102030005000000", &len);
	struct tlv_reader in;
	struct tlv tlv;

	(void)state;
	assert_true(tlv_open(&in, data, len));
	assert_true(tlv_next(&in, &tlv));
	assert_int_equal(tlv.type, 0xfffe);
	assert_int_equal(tlv.len, 3);
	assert_ptr_equal(tlv.value, data + 8);
	assert_true(tlv_next(&in, &tlv));
	assert_int_equal(tlv.type, 5);
	assert_int_equal(tlv.len, 0);
	assert_false(tlv_next(&in, &tlv));
	assert_false(in.malformed);
	test_free(data);
}

static void numbers_have_their_length(void **state)
{
	static const uint8_t bytes[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

	(void)state;
	for (uint16_t len = 0; len <= sizeof(bytes); len++) {
		struct tlv tlv = { .len = len, .value = bytes };
		uint32_t two = 99, four = 99;
		uint64_t eight = 99;

		assert_int_equal(tlv_get_be16(&tlv, &two), len == 2);
		assert_int_equal(two, len == 2 ? 0x0102 : 99);
		assert_int_equal(tlv_get_be32(&tlv, &four), len == 4);
		assert_int_equal(four, len == 4 ? 0x01020304 : 99);
		assert_int_equal(tlv_get_be64(&tlv, &eight), len == 8);
		assert_int_equal(eight, len == 8 ? 0x0102030405060708 : 99);
	}
}

static uint32_t write_all(uint8_t *bytes, uint32_t size)
{
	struct tlv_writer out = tlv_begin(bytes, size);
	uint8_t *value;

	tlv_put_be16(&out, WIRE_TLV_VERSION, 0x0102);
	tlv_put_be32(&out, WIRE_TLV_VNI, 0x01020304);
	tlv_put_be64(&out, WIRE_TLV_BOOT, 0x0102030405060708);
	value = tlv_put(&out, WIRE_TLV_STATION, 3);
	if (value)
		memcpy(value, "abc", 3);
	(void)tlv_put(&out, WIRE_TLV_END, 0);
	return tlv_finish(&out, WIRE_CONTROL_CHECK);
}

/* It is written where it fits, and not a byte of it is where it does not. */
static void written_where_it_fits(void **state)
{
	static const char hex[] = "10040025"
				  "000100020102"
				  "0007000401020304"
				  "000600080102030405060708"
				  "000a0003616263"
				  "000b0000";
	uint32_t len;
	uint8_t *expected = load(hex, &len);

	(void)state;
	for (uint32_t size = 0; size <= len + 1; size++) {
		uint8_t *bytes = test_malloc(size + !size);
		uint32_t written = write_all(bytes, size);

		assert_int_equal(written, size < len ? 0 : len);
		assert_memory_equal(bytes, expected, written);
		test_free(bytes);
	}
	test_free(expected);
}

/* Where something did not fit, what is shorter is not written in its place. */
static void once_full_is_full(void **state)
{
	uint8_t bytes[16];
	struct tlv_writer out = tlv_begin(bytes, sizeof(bytes));

	(void)state;
	assert_null(tlv_put(&out, WIRE_TLV_STATION, 9));
	assert_null(tlv_put(&out, WIRE_TLV_END, 0));
	assert_int_equal(tlv_finish(&out, WIRE_CONTROL_HELLO), 0);
	out = tlv_begin(bytes, sizeof(bytes));
	assert_non_null(tlv_put(&out, WIRE_TLV_STATION, 8));
	assert_null(tlv_put(&out, WIRE_TLV_STATION, UINT32_MAX));
	assert_int_equal(tlv_finish(&out, WIRE_CONTROL_HELLO), 0);
}

/* However much room there is: no more than the header can say. */
static void no_longer_than_can_be_said(void **state)
{
	static uint8_t bytes[80000];
	struct tlv_writer out = tlv_begin(bytes, sizeof(bytes));

	(void)state;
	assert_non_null(tlv_put(&out, WIRE_TLV_STATION, UINT16_MAX - 4));
	assert_int_equal(tlv_finish(&out, WIRE_CONTROL_HELLO), UINT16_MAX + 4);
	assert_int_equal(load_be16(bytes + 2), UINT16_MAX);
	out = tlv_begin(bytes, sizeof(bytes));
	assert_null(tlv_put(&out, WIRE_TLV_STATION, UINT16_MAX - 3));
	assert_int_equal(tlv_finish(&out, WIRE_CONTROL_HELLO), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_table),
		cmocka_unit_test(each_is_given),
		cmocka_unit_test(numbers_have_their_length),
		cmocka_unit_test(written_where_it_fits),
		cmocka_unit_test(once_full_is_full),
		cmocka_unit_test(no_longer_than_can_be_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
