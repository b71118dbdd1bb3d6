/* SPDX-License-Identifier: MIT */
/*
 * Tests the harness: a bug behind four comparisons, which only a fuzzer that is
 * led by coverage finds, and which only a sanitizer notices.
 */
#include "dataplane/packet.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size < 4)
		return 0;
	copy = fuzz_copy(data, size);
	if (copy[0] == 'o' && copy[1] == 'v' && copy[2] == 'l') /* One byte too many. */
		(void)checksum_fold(checksum_add(0, copy, size + 1));
	free(copy);
	return 0;
}
