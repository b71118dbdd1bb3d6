/* SPDX-License-Identifier: MIT */
/*
 * The AEAD's implementations against libsodium: sealing and opening bursts, in
 * place, over what lengths and burst sizes there are. Each row alternates between
 * all of them, so that what else the machine does strikes all; the figures are
 * medians of many short rounds, in nanoseconds a packet, and the ratio to
 * libsodium.
 *
 *    bench_aead [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "crypto/aead_cpu.h"
#include "crypto/aead_kernel.h"
#include "crypto/secret.h"

enum { LONGEST = 8900, KERNELS = 3, ROUNDS_MAX = 2001 };

static const char *const ways[] = { "seal", "open" };

static uint8_t text[AEAD_BURST_MAX][LONGEST + 64];
static struct aead_op ops[AEAD_BURST_MAX];
static double times[KERNELS][2][ROUNDS_MAX];
static unsigned int rounds = 501;

static void must(bool holds)
{
	if (!holds)
		abort();
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, rounds, sizeof(*values), compare);
	return values[rounds / 2];
}

/*
 * As many bursts of @n as there are packets for, sealed and then opened: a lone
 * small packet is too short for the clock.
 */
static void run(const struct aead_kernel *kernel, unsigned int n, double *seal, double *open)
{
	static const uint8_t key[KEY_SIZE] = { 42 };
	const struct aead_call call = { .key = key };
	unsigned int all = AEAD_BURST_MAX / n * n;
	unsigned int good = 0;
	double start = now_ns();

	for (unsigned int i = 0; i < all; i += n)
		kernel->seal(&call, ops + i, n);
	*seal = (now_ns() - start) / all;
	start = now_ns();
	for (unsigned int i = 0; i < all; i += n)
		good += kernel->open(&call, ops + i, n);
	*open = (now_ns() - start) / all;
	must(good == all);
}

static void row(const struct aead_kernel *const *kernels, unsigned int count, unsigned int n,
                const uint32_t *lens, unsigned int len_count, const char *name)
{
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
		uint32_t len = lens[i % len_count];

		ops[i] = (struct aead_op){
			.src = text[i] + 32, .dst = text[i] + 32, .len = len, .counter = i
		};
	}
	for (unsigned int r = 0; r < rounds; r++) {
		for (unsigned int k = 0; k < count; k++)
			run(kernels[k], n, &times[k][0][r], &times[k][1][r]);
	}
	for (unsigned int way = 0; way < 2; way++) {
		double base = median(times[0][way]);

		printf("  %-9s %2u  %s  %8.0f", name, n, ways[way], base);
		for (unsigned int k = 1; k < count; k++) {
			double own = median(times[k][way]);

			printf("   %8.0f %5.2fx", own, base / own);
		}
		putchar('\n');
	}
}

int main(int argc, char **argv)
{
	static const uint32_t lens[] = { 64, 128, 256, 512, 1024, 1420, LONGEST };
	/* IMIX: seven, four and one of a dozen */
	static const uint32_t imix[] = { 64, 576, 64, 64, 576, 1420, 64, 576, 64, 64, 576, 64 };
	static const unsigned int small[] = { 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32 };
	const struct aead_kernel *kernels[KERNELS] = { &aead_sodium };
	unsigned int count = 1;
	struct aead_cpu cpu;
	char name[16];

	if (argc > 1)
		rounds = (unsigned int)strtoul(argv[1], NULL, 10);
	must(rounds > 0 && rounds <= ROUNDS_MAX && secret_init() == 0);
	aead_cpu_read(&cpu);
	if (aead_cpu_has_avx2(&cpu))
		kernels[count++] = &aead_avx2;
	if (aead_cpu_has_avx512(&cpu))
		kernels[count++] = &aead_avx512;
	printf("ns a packet, medians of %u alternated rounds\n  bytes  burst        %8s", rounds,
	       "libsodium");
	for (unsigned int k = 1; k < count; k++)
		printf("   %8s       ", kernels[k]->name);
	putchar('\n');
	for (unsigned int i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		snprintf(name, sizeof(name), "%u", lens[i]);
		row(kernels, count, AEAD_BURST_MAX, &lens[i], 1, name);
	}
	row(kernels, count, AEAD_BURST_MAX, imix, sizeof(imix) / sizeof(imix[0]), "IMIX");
	for (unsigned int i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		row(kernels, count, small[i], &lens[0], 1, "64");
	for (unsigned int i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		row(kernels, count, small[i], &lens[5], 1, "1420");
	return 0;
}
