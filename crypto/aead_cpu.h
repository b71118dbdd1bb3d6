/* SPDX-License-Identifier: MIT */
/*
 * What the processor can do, and whether the kernel keeps the registers for it
 * across a switch of tasks: an instruction set needs both.
 */
#ifndef CRYPTO_AEAD_CPU_H
#define CRYPTO_AEAD_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* CPUID's leaf 1 (ecx), leaf 7.0 (ebx, ecx), and XCR0; zero where there is none. */
struct aead_cpu {
	uint32_t leaf1_ecx;
	uint32_t leaf7_ebx;
	uint32_t leaf7_ecx;
	uint64_t xcr0;
};

void aead_cpu_read(struct aead_cpu *cpu);

/* Everything that aead_avx2.c and aead_avx512.c are compiled for. */
bool aead_cpu_has_avx2(const struct aead_cpu *cpu);
bool aead_cpu_has_avx512(const struct aead_cpu *cpu);

#endif
