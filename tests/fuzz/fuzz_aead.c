/* SPDX-License-Identifier: MIT */
/*
 * Every implementation of the AEAD that runs here against libsodium: sealing the same,
 * opening what is right, refusing what was forged, touching nothing else.
 *
 * The input: number of packets, flags (in place; a packet forged, one behind it as
 * well; additional data), where the forged bit is, key and counter; then two bytes a
 * packet, its length, whose top values mean up to 65,535; then what texts repeat.
 */
#include "crypto/aead_cpu.h"
#include "crypto/aead_kernel.h"
#include "crypto/endian.h"
#include "fuzz/fuzz.h"

enum { HEAD = 16, LEN_MAX = 65535 };

struct input {
	uint8_t key[KEY_SIZE], ad[32];
	struct aead_call call;
	unsigned int n, bad;
	uint8_t flags;
	uint16_t where;
	uint64_t counter;
	const uint8_t *rest;
	size_t rest_len;
	uint32_t lens[AEAD_BURST_MAX];
};

static bool read_input(struct input *in, const uint8_t *data, size_t size)
{
	if (size < HEAD)
		return false;
	in->n = data[0] % AEAD_BURST_MAX + 1;
	in->flags = data[1];
	in->where = load_le16(data + 2);
	in->bad = data[4] % in->n;
	in->counter = load_le64(data + 8);
	memset(in->key, data[5], sizeof(in->key));
	memcpy(in->key, data, HEAD);
	memset(in->ad, data[6], sizeof(in->ad));
	in->call = (struct aead_call){ in->key, in->ad, data[1] & 8 ? data[7] % 33 : 0,
		                       data[1] & 16 ? data[6] : 0 };
	in->rest = data + HEAD;
	in->rest_len = size - HEAD;
	for (unsigned int i = 0; i < in->n; i++) {
		uint16_t len = 2 * i + 1 < in->rest_len ? load_le16(in->rest + 2 * i) : 0;

		/* mostly what packets have; all else now and then */
		in->lens[i] = len >= 0xff00   ? len - 0xff00u + LEN_MAX - 255
		              : len >= 0xf000 ? len
		                              : len % 2048;
	}
	return true;
}

/* Memory of its own, to the byte, so that a sanitizer sees one too many. */
static uint8_t *copy(const void *bytes, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	must(p != NULL);
	if (bytes)
		memcpy(p, bytes, len);
	else
		memset(p, 0xee, len);
	return p;
}

static void fill(const struct input *in, unsigned int i, uint8_t *text)
{
	for (uint32_t k = 0; k < in->lens[i]; k++)
		text[k] = (uint8_t)((in->rest_len ? in->rest[k % in->rest_len] : 0) + i + k / 251);
}

/* Opens with @kernel what @sealed holds, the forged packets among it. */
static void check_open(const struct aead_kernel *kernel, const struct input *in, uint8_t **sealed,
                       uint8_t *const *plain)
{
	struct aead_op ops[AEAD_BURST_MAX];
	bool in_place = in->flags & 1;
	unsigned int good = 0;

	for (unsigned int i = 0; i < in->n; i++) {
		uint32_t len = in->lens[i];
		bool forged = (in->flags & 2 && i == in->bad) ||
		              (in->flags & 4 && i == (in->bad + 1) % in->n);

		ops[i] = (struct aead_op){ sealed[i], in_place ? sealed[i] : copy(NULL, len), len,
			                   forged, in->counter + i };
		if (forged)
			sealed[i][in->where / 8 % (len + AEAD_TAG_SIZE)] ^=
				(uint8_t)(1 << in->where % 8);
		good += !forged;
	}
	must(kernel->open(&in->call, ops, in->n) == good);
	for (unsigned int i = 0; i < in->n; i++) {
		bool forged = (in->flags & 2 && i == in->bad) ||
		              (in->flags & 4 && i == (in->bad + 1) % in->n);

		must(ops[i].ok == !forged);
		if (ops[i].ok)
			must(memcmp(ops[i].dst, plain[i], ops[i].len) == 0);
		else if (!in_place && ops[i].len)
			must(ops[i].dst[0] == 0xee && ops[i].dst[ops[i].len - 1] == 0xee);
		if (!in_place)
			free(ops[i].dst);
	}
}

static void check(const struct aead_kernel *kernel, const struct input *in)
{
	struct aead_op ops[AEAD_BURST_MAX], twin[AEAD_BURST_MAX];
	uint8_t *plain[AEAD_BURST_MAX], *want[AEAD_BURST_MAX], *sealed[AEAD_BURST_MAX];

	for (unsigned int i = 0; i < in->n; i++) {
		uint32_t len = in->lens[i];

		plain[i] = copy(NULL, len);
		fill(in, i, plain[i]);
		want[i] = copy(NULL, len + AEAD_TAG_SIZE);
		sealed[i] = copy(NULL, len + AEAD_TAG_SIZE);
		if (in->flags & 1)
			memcpy(sealed[i], plain[i], len);
		twin[i] = (struct aead_op){ plain[i], want[i], len, false, in->counter + i };
		ops[i] = twin[i];
		ops[i].src = in->flags & 1 ? sealed[i] : plain[i];
		ops[i].dst = sealed[i];
	}
	aead_sodium.seal(&in->call, twin, in->n);
	kernel->seal(&in->call, ops, in->n);
	for (unsigned int i = 0; i < in->n; i++)
		must(memcmp(sealed[i], want[i], in->lens[i] + AEAD_TAG_SIZE) == 0);
	check_open(kernel, in, sealed, plain);
	for (unsigned int i = 0; i < in->n; i++) {
		free(plain[i]);
		free(want[i]);
		free(sealed[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct aead_cpu cpu;
	struct input in;

	if (!cpu.leaf1_ecx)
		aead_cpu_read(&cpu);
	if (!read_input(&in, data, size))
		return 0;
#ifdef __x86_64__
	if (aead_cpu_has_avx2(&cpu))
		check(&aead_avx2, &in);
	if (aead_cpu_has_avx512(&cpu))
		check(&aead_avx512, &in);
#endif
	return 0;
}
