/* SPDX-License-Identifier: MIT */
#include "crypto/aead_cpu.h"

#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#define BIT(n) (1u << (n))

enum {
	LEAF1_ECX_OSXSAVE = BIT(27),
	LEAF1_ECX_AVX = BIT(28),
	LEAF7_EBX_AVX2 = BIT(5),
	LEAF7_EBX_BMI2 = BIT(8),
	LEAF7_EBX_AVX512F = BIT(16),
	LEAF7_EBX_AVX512DQ = BIT(17),
	LEAF7_EBX_AVX512IFMA = BIT(21),
	LEAF7_EBX_AVX512BW = BIT(30),
	LEAF7_ECX_AVX512VBMI2 = BIT(6),
	XCR0_YMM = BIT(1) | BIT(2), /* the low halves as well */
	XCR0_ZMM = BIT(5) | BIT(6) | BIT(7), /* masks, high halves, upper sixteen */
};
#define LEAF7_EBX_AVX512VL BIT(31)

static bool has(uint64_t flags, uint64_t wanted)
{
	return (flags & wanted) == wanted;
}

void aead_cpu_read(struct aead_cpu *cpu)
{
	memset(cpu, 0, sizeof(*cpu));
#ifdef __x86_64__
	uint32_t eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		return;
	cpu->leaf1_ecx = ecx;
	if (has(ecx, LEAF1_ECX_OSXSAVE)) {
		uint32_t low, high;

		__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		cpu->xcr0 = (uint64_t)high << 32 | low;
	}
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		return;
	cpu->leaf7_ebx = ebx;
	cpu->leaf7_ecx = ecx;
#endif
}

bool aead_cpu_has_avx2(const struct aead_cpu *cpu)
{
	return has(cpu->leaf1_ecx, LEAF1_ECX_OSXSAVE | LEAF1_ECX_AVX) && has(cpu->xcr0, XCR0_YMM) &&
	       has(cpu->leaf7_ebx, LEAF7_EBX_AVX2 | LEAF7_EBX_BMI2);
}

bool aead_cpu_has_avx512(const struct aead_cpu *cpu)
{
	return aead_cpu_has_avx2(cpu) && has(cpu->xcr0, XCR0_ZMM) &&
	       has(cpu->leaf7_ebx, LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512DQ | LEAF7_EBX_AVX512IFMA |
	                                   LEAF7_EBX_AVX512BW | LEAF7_EBX_AVX512VL) &&
	       has(cpu->leaf7_ecx, LEAF7_ECX_AVX512VBMI2);
}
