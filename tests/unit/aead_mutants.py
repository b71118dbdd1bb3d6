#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the AEAD's kernels in one place after the other; the tests have to notice each.

    aead_mutants.py TOP [WORD…]      only those whose description has one of the words

A mutant is a file of crypto/, a text in it that occurs once, and what replaces it. The
AVX-512 files run in plain C (emulated/immintrin.h), so that any machine with AVX2 will do.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

CFLAGS = ["-std=gnu11", "-O1", "-w", "-Wno-psabi", "-D_GNU_SOURCE", "-fno-strict-aliasing"]
AVX2 = ["-mavx2", "-mbmi2"]
LIBRARIES = ["-lcmocka", "-lsodium", "-lb2"]
KERNELS = {"aead_avx2": AVX2, "aead_avx512": ["EMULATED"], "aead_avx512_list": ["EMULATED"]}
REST = ["aead_sodium", "aead_cpu", "secret"]
# Which kernels a file is part of, and the test that is to notice.
PARTS = {"poly1305.h": ["aead_avx2", "aead_avx512_list"], "aead_list.h": ["aead_avx2", "aead_avx512_list"],
         "aead_avx512.h": ["aead_avx512", "aead_avx512_list"], "aead_avx2.c": ["aead_avx2"],
         "aead_avx512.c": ["aead_avx512"]}

MUTANTS = [
    # Poly1305 in 64-bit words
    ("poly1305.h", "never reduce at the end", "reduce = 0 - (g2 >> 2);", "reduce = 0;"),
    ("poly1305.h", "always reduce at the end", "reduce = 0 - (g2 >> 2);", "reduce = ~0ULL;"),
    ("poly1305.h", "skip the carry into h2 when a block is added", "p->h2 + (h < m) + 1", "p->h2 + 1"),
    ("poly1305.h", "leave out a block's 2^128", "p->h2 + (h < m) + 1", "p->h2 + (h < m)"),
    ("poly1305.h", "skip the carry from d0", "d1 += (uint64_t)(d0 >> 64);", ";"),
    ("poly1305.h", "skip the carry behind the fold", "(d2 & 3) + (h < fold)", "(d2 & 3)"),
    ("poly1305.h", "fold in four times", "(d2 >> 2) + (d2 & ~3ULL)", "(d2 & ~3ULL)"),
    ("poly1305.h", "clamp one bit less", "0x0ffffffc0ffffffc;", "0x0ffffffc0ffffffe;"),
    ("poly1305.h", "skip the carry in the tag's sum", "g1 + p->pad1 + (uint64_t)(sum >> 64)", "g1 + p->pad1"),
    ("poly1305.h", "skip the carry when comparing with p", "(poly1305_wide)p->h1 + (uint64_t)(sum >> 64);\n\tg1",
     "(poly1305_wide)p->h1;\n\tg1"),
    # the list
    ("aead_list.h", "swap lanes' block numbers", "pass->block[i] = block;", "pass->block[i ^ 1] = block;"),
    ("aead_list.h", "leave out the counter's upper half", "(uint32_t)(w->ops[op].counter >> 32)", "0"),
    ("aead_list.h", "compare half of the tag", " | (tag[1] ^ load_le64(sent + 8))", ""),
    ("aead_list.h", "decrypt what was forged", "if (!op->ok)\n\t\t\tcontinue;", ""),
    ("aead_list.h", "decrypt a forged packet's first blocks", "if (op->ok)\n\t\t\t\txor_bytes", "xor_bytes"),
    ("aead_list.h", "decrypt before the verdict", "&& w->verdict[w->op] != PENDING;", ";"),
    ("aead_list.h", "take ciphertext that is not there yet", "*bytes = (w->block - 1) * BLOCK;",
     "*bytes = w->block * BLOCK;"),
    ("aead_list.h", "leave out the additional data's length", "poly1305_words(poly, w->call->ad_len, op->len)",
     "poly1305_words(poly, 0, op->len)"),
    ("aead_list.h", "leave spilled registers", "\twipe_below();\n", ""),
    ("aead_list.h", "leave what it worked on", "\tsecret_wipe(w, ", "\tif (0)\n\t\tsecret_wipe(w, "),
    ("aead_avx2.c", "swap halves of lanes", "quad[i], quad[4 + i], 0x31)", "quad[i], quad[4 + i], 0x13)"),
    # groups
    ("aead_avx512.c", "never reduce at the end", "reduce = _mm512_cmpgt_epu64_mask(g2, mask42);", "reduce = 0;"),
    ("aead_avx512.c", "always reduce at the end", "reduce = _mm512_cmpgt_epu64_mask(g2, mask42);", "reduce = 0xff;"),
    ("aead_avx512.c", "carry once at the end", "for (int i = 0; i < 2; i++) {\n\t\th1 =",
     "for (int i = 0; i < 1; i++) {\n\t\th1 ="),
    ("aead_avx512.c", "skip the carry from d0",
     "d->low[1] = _mm512_add_epi64(d->low[1], _mm512_srli_epi64(d->low[0], 44));", ""),
    ("aead_avx512.c", "skip the carry from d1",
     "d->low[2] = _mm512_add_epi64(d->low[2], _mm512_srli_epi64(d->low[1], 44));", ""),
    ("aead_avx512.c", "skip d0's high halves",
     "d->low[1] = _mm512_add_epi64(d->low[1], _mm512_slli_epi64(d->high[0], 8));", ""),
    ("aead_avx512.c", "skip the carry from h0", ", _mm512_srli_epi64(over, 44));",
     ", _mm512_setzero_si512());"),
    ("aead_avx512.c", "fold in four times", "over = _mm512_add_epi64(over, _mm512_slli_epi64(over, 2));",
     "over = _mm512_slli_epi64(over, 2);"),
    ("aead_avx512.c", "leave out a block's 2^128", "a = split(w[0], w[1], high);\n\tadd(h, &a);",
     "a = split(w[0], w[1], _mm512_setzero_si512());\n\tadd(h, &a);"),
    ("aead_avx512.c", "swap two lanes of the text", "_mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0)",
     "_mm512_set_epi64(13, 12, 5, 4, 9, 8, 0, 1)"),
    ("aead_avx512.c", "swap lanes' tags", "out[i % 2 * (LANES / 2) + i / 2]", "out[i % 2 + i / 2 * 2]"),
    ("aead_avx512.c", "swap lanes' counters", "high[i] = high[LANES + i] =", "high[i ^ 1] = high[LANES + i] ="),
    ("aead_avx512.c", "skip the carry in the tag's sum",
     "_mm512_mask_add_epi64(tag[1], _mm512_cmplt_epu64_mask(tag[0], h0), tag[1],", "_mm512_mask_add_epi64(tag[1], 0, tag[1],"),
    ("aead_avx512.c", "multiply a last lone block by r^2", "f.limb[i] = _mm512_mask_blend_epi64(both, g->r.limb[i],",
     "f.limb[i] = _mm512_mask_blend_epi64(0xff, g->r.limb[i],"),
    ("aead_avx512.c", "go on in lanes that have ended", "_mm512_mask_mov_epi64(g->h.limb[i], both | one, h.limb[i])",
     "_mm512_mask_mov_epi64(g->h.limb[i], 0xff, h.limb[i])"),
    ("aead_avx512.c", "compare half of the tag", "_mm512_cmpneq_epi64_mask(have[1], tag[1])", "0"),
    ("aead_avx512.c", "decrypt what was forged", "if (!ok)\n\t\t\tg->len[i] = 0;", ""),
    ("aead_avx512.c", "give the verdict to another packet", "w->ops[g->lane_op[i]].ok = ok;", "w->ops[i].ok = ok;"),
    ("aead_avx512.h", "swap two lanes of the key stream", "x[4 + i] = _mm512_shuffle_i32x4(u0, u1, 0xdd);\n"
     "\t\tx[8 + i] = _mm512_shuffle_i32x4(u2, u3, 0x88);", "x[8 + i] = _mm512_shuffle_i32x4(u0, u1, 0xdd);\n"
     "\t\tx[4 + i] = _mm512_shuffle_i32x4(u2, u3, 0x88);"),
]
STACK = ("leave spilled registers", "leave what it worked on")


class Build:
    """One tree of objects; a mutant replaces some of them."""

    def __init__(self, top, folder):
        self.top, self.folder = top, folder
        self.compiler = os.environ.get("CC", "cc").split()
        for name in ("crypto", "tests/unit"):
            shutil.copytree(top / name, folder / name)

    def compile(self, source, target, flags):
        emulated = "EMULATED" in flags
        flags = [f for f in flags if f != "EMULATED"]
        includes = ["-I", self.folder / "tests/unit/emulated"] if emulated else []
        subprocess.run([*self.compiler, *CFLAGS, *flags, *includes, "-I", self.folder, "-c", self.folder / source,
                        "-o", self.folder / target], check=True)

    def kernel(self, name, target):
        # the stack is judged as it is in the product
        optimize = ["-O3", "-fPIC"] if name == "aead_avx2" else []
        self.compile(f"crypto/{name}.c", target, KERNELS[name] + optimize)

    def base(self):
        for name in REST:
            self.compile(f"crypto/{name}.c", f"{name}.o", [])
        for name in KERNELS:
            self.kernel(name, f"{name}.o")
        self.compile("tests/unit/test_aead_kernels.c", "kernels.o", ["-DEMULATED=true"])
        self.compile("tests/unit/test_aead_stack.c", "stack.o", ["-DAVX2_ALONE"])

    def passes(self, test, replaced):
        objects = [f"{name}.o" for name in REST]
        objects += [f"mutant_{name}.o" if name in replaced else f"{name}.o" for name in KERNELS]
        subprocess.run([*self.compiler, "-o", "test", f"{test}.o", *objects, *LIBRARIES], cwd=self.folder, check=True)
        command = ["./test"] + (["40"] if test == "kernels" else [])
        try:
            done = subprocess.run(command, cwd=self.folder, timeout=120, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def survives(self, mutant):
        file, what, old, new = mutant
        path = self.folder / "crypto" / file
        whole = path.read_text()
        if whole.count(old) != 1:
            raise SystemExit(f"{file}: {what}: its text occurs {whole.count(old)} times, not once")
        path.write_text(whole.replace(old, new))
        for name in PARTS[file]:
            self.kernel(name, f"mutant_{name}.o")
        path.write_text(whole)
        return self.passes("stack" if what in STACK else "kernels", PARTS[file])


def main(top, words):
    if "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        print("skipped: this processor cannot run avx2")
        return 77
    chosen = [m for m in MUTANTS if not words or any(word in m[1] for word in words)]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        build = Build(top, pathlib.Path(folder))
        build.base()
        for test in ("kernels", "stack"):
            if not build.passes(test, []):
                raise SystemExit(f"{test} fails without a mutant")
        for mutant in chosen:
            if build.survives(mutant):
                survivors.append(mutant)
                print(f"NOT CAUGHT: {mutant[0]}: {mutant[1]}", flush=True)
            else:
                print(f"caught: {mutant[0]}: {mutant[1]}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))
