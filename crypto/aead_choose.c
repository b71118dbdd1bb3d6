/* SPDX-License-Identifier: MIT */
/*
 * An implementation proves itself at start: on the RFC's known answer, in every
 * place of a burst, and on bursts of all sizes and mixed lengths against the
 * reference, sealing and opening, right and forged. It is to notice a processor or
 * a compiler that does not do what the tests of this project saw it do.
 */
#include "crypto/aead_choose.h"

#include <stdio.h>
#include <string.h>
#include "crypto/endian.h"

enum { ROOM = 1500 + AEAD_TAG_SIZE };

/* Static for their size; no thread exists yet. */
static uint8_t have[AEAD_BURST_MAX][ROOM], want[AEAD_BURST_MAX][ROOM];

/* RFC 8439, 2.8.2. */
static const char plain[] = "Ladies and Gentlemen of the class of '99: If I could offer you only "
			    "one tip for the future, sunscreen would be it.";
static const uint8_t plain_ad[] = { 0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
	                            0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7 };
static const uint8_t cipher_head[] = { 0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb };
static const uint8_t cipher_tag[AEAD_TAG_SIZE] = { 0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a,
	                                           0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91 };

/* The known answer @n times in one burst; one of them comes back forged. */
static bool knows_the_answer(const struct aead_kernel *kernel, unsigned int n)
{
	const uint32_t len = sizeof(plain) - 1;
	struct aead_op ops[AEAD_BURST_MAX];
	const struct aead_call call = {
		.key = (const uint8_t[]){ 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
		                          0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
		                          0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
		                          0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f },
		.ad = plain_ad,
		.ad_len = sizeof(plain_ad),
		.nonce_head = 7
	};

	for (unsigned int i = 0; i < n; i++) {
		memcpy(have[i], plain, len);
		ops[i] = (struct aead_op){
			.src = have[i], .dst = have[i], .len = len, .counter = 0x4746454443424140
		};
	}
	kernel->seal(&call, ops, n);
	for (unsigned int i = 0; i < n; i++) {
		if (memcmp(have[i], cipher_head, sizeof(cipher_head)) != 0 ||
		    memcmp(have[i] + len, cipher_tag, sizeof(cipher_tag)) != 0)
			return false;
	}
	have[n / 2][len + AEAD_TAG_SIZE - 1] ^= 1;
	if (kernel->open(&call, ops, n) != n - 1)
		return false;
	for (unsigned int i = 0; i < n; i++) {
		if (ops[i].ok != (i != n / 2) || (ops[i].ok && memcmp(have[i], plain, len) != 0))
			return false;
	}
	return true;
}

/* Lengths from 0 to what a packet has, all remainders of a block among them. */
static bool equals_the_reference(const struct aead_kernel *kernel, unsigned int n)
{
	struct aead_op ops[AEAD_BURST_MAX], twin[AEAD_BURST_MAX];
	uint8_t key[KEY_SIZE];
	const struct aead_call call = { .key = key };

	memset(key, (int)n, sizeof(key));
	for (unsigned int i = 0; i < n; i++) {
		memset(have[i], (int)(i + n), ROOM);
		memset(want[i], (int)(i + n), ROOM);
		ops[i] = (struct aead_op){ .src = have[i],
			                   .dst = have[i],
			                   .len = i * (n < 9 ? 203 : 23),
			                   .counter = UINT32_MAX - 4ULL + i };
		twin[i] = ops[i];
		twin[i].src = twin[i].dst = want[i];
	}
	kernel->seal(&call, ops, n);
	aead_sodium.seal(&call, twin, n);
	if (memcmp(have, want, n * sizeof(have[0])) != 0)
		return false;
	have[n / 2][ops[n / 2].len] ^= 0x80;
	if (kernel->open(&call, ops, n) != n - 1 || aead_sodium.open(&call, twin, n) != n)
		return false;
	for (unsigned int i = 0; i < n; i++) {
		if (ops[i].ok != (i != n / 2) ||
		    (ops[i].ok && memcmp(have[i], want[i], ops[i].len) != 0))
			return false;
	}
	return true;
}

static bool proves_itself(const struct aead_kernel *kernel)
{
	static const unsigned int sizes[] = { 1, 2, 3, 5, 8, 9, 17, 33, AEAD_BURST_MAX };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!knows_the_answer(kernel, sizes[i]) || !equals_the_reference(kernel, sizes[i]))
			return false;
	}
	return true;
}

/* The place of @forced among the candidates; @count where there is none of that name. */
static unsigned int find(const struct aead_candidate *candidates, unsigned int count,
                         const char *forced)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (strcmp(candidates[i].kernel->name, forced) == 0)
			break;
	}
	return i;
}

const struct aead_kernel *aead_choose(const struct aead_candidate *candidates, unsigned int count,
                                      const char *forced, char *words, size_t size)
{
	const struct aead_kernel *chosen = NULL;
	char reason[128] = "";
	unsigned int first = forced ? find(candidates, count, forced) : 0;

	if (first == count) {
		/* its text is not repeated: who knows what it holds */
		snprintf(reason, sizeof(reason),
		         "; OVLTUN_AEAD is none of avx512, avx2, libsodium");
		forced = NULL;
		first = 0;
	}
	for (unsigned int i = first; i < count && !chosen; i++) {
		const char *name = candidates[i].kernel->name;
		size_t end = strlen(reason);

		if (!candidates[i].runs_here) {
			/* what a processor does not have is worth a word only to who wants it */
			if (forced && i == first)
				snprintf(reason + end, sizeof(reason) - end,
				         "; %s needs another processor", name);
		} else if (!proves_itself(candidates[i].kernel)) {
			snprintf(reason + end, sizeof(reason) - end, "; %s failed its self-test",
			         name);
		} else {
			chosen = candidates[i].kernel;
		}
	}
	snprintf(words, size, "%s%s%s%s", chosen ? chosen->name : "none", reason[0] ? " (" : "",
	         reason[0] ? reason + 2 : "", reason[0] ? ")" : "");
	return chosen;
}
