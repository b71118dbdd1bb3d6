/* SPDX-License-Identifier: MIT */
/*
 * ChaCha20-Poly1305 over a list of blocks: ChaCha20 in as many lanes as a vector
 * register has words, Poly1305 on the scalar units between its rounds. A file for an
 * instruction set says what a register is, and includes this; see there.
 *
 * The burst is one list of blocks, packet after packet: block 0 of each, which is
 * its one-time key, then those of its text. A pass takes as many of the list as it
 * has lanes, wherever packets begin and end, so that short packets fill them as well
 * as long ones. Two streams of Poly1305, each on a packet of its own (one
 * multiplication waits for the one before, two chains hide that), run over what is
 * ciphertext already; they lag behind ChaCha20 when sealing. When opening they lead:
 * all one-time keys first, then a packet's blocks enter the list only when its tag was
 * found right. What a tag refuses is never decrypted, and its place left as it was.
 *
 * No branch and no index depends on anything but lengths, counts and verdicts.
 *
 * The includer has defined:
 *    SET, SETS                  words in a register, and most registers for a word
 *    typedef … vec              a register
 *    vec_load, vec_store        from and to memory, however it lies
 *    vec_set1                   a word in each lane
 *    vec_add, vec_xor           word by word
 *    vec_rotate16, 12, 8, 7     to the left
 *    vec_transpose              sixteen words of each lane become lanes of 64 bytes
 *    vec_put_block              stores lane i of those
 *    vec_xor_block              the same, over 64 bytes of text
 */
#ifndef CRYPTO_AEAD_LIST_H
#define CRYPTO_AEAD_LIST_H

#include "crypto/aead_kernel.h"

#include "crypto/poly1305.h"
#include "crypto/secret.h"

enum {
	LANES = SETS * SET,
	BLOCK = 64,
	DOUBLE_ROUNDS = 10,
	UNIT = 2 * POLY1305_BLOCK, /* what a stream takes at a time */
	SHORT = 6, /* units that are not worth spreading over a pass */
	EARLY = SET - 1,
	IDLE = AEAD_BURST_MAX,
	SPILLED = 4608, /* no less than the frames below entry's need */
};

enum verdict { PENDING, GOOD, BAD };

/* Where a lane's block goes: to a one-time key, or over the text. */
struct lane {
	const uint8_t *src;
	uint8_t *dst;
	struct poly1305 *one_time;
	uint32_t len;
};

/* As many blocks of the list as there are lanes. */
struct pass {
	uint32_t block[LANES], counter_low[LANES], counter_high[LANES];
	struct lane lane[LANES];
	unsigned int used;
	unsigned int whole[SETS]; /* lanes that take 64 bytes of text */
} __attribute__((aligned(64)));

/* Poly1305 over one packet after the other. */
struct stream {
	const uint8_t *at;
	uint32_t units; /* that may be taken now */
	uint32_t left;
	unsigned int op; /* IDLE: none */
};

struct work {
	uint32_t key[KEY_SIZE / 4];
	const struct aead_call *call;
	struct aead_op *ops;
	unsigned int n;
	bool opening;
	unsigned int op; /* the next block of the list: its packet */
	uint32_t block; /* and which of it */
	unsigned int next; /* the next packet for a stream */
	unsigned int good;
	struct stream stream[2];
	struct pass pass;
	uint8_t verdict[AEAD_BURST_MAX];
	uint8_t early[EARLY][BLOCK]; /* opening: blocks made before their packet was found good */
	struct poly1305 poly[AEAD_BURST_MAX];
};

static const uint32_t constants[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

/* --- ChaCha20 --- */

static inline __attribute__((always_inline)) void quarter(vec *a, vec *b, vec *c, vec *d)
{
	*a = vec_add(*a, *b);
	*d = vec_rotate16(vec_xor(*d, *a));
	*c = vec_add(*c, *d);
	*b = vec_rotate12(vec_xor(*b, *c));
	*a = vec_add(*a, *b);
	*d = vec_rotate8(vec_xor(*d, *a));
	*c = vec_add(*c, *d);
	*b = vec_rotate7(vec_xor(*b, *c));
}

static inline __attribute__((always_inline)) void columns(vec x[16])
{
	quarter(&x[0], &x[4], &x[8], &x[12]);
	quarter(&x[1], &x[5], &x[9], &x[13]);
	quarter(&x[2], &x[6], &x[10], &x[14]);
	quarter(&x[3], &x[7], &x[11], &x[15]);
}

static inline __attribute__((always_inline)) void diagonals(vec x[16])
{
	quarter(&x[0], &x[5], &x[10], &x[15]);
	quarter(&x[1], &x[6], &x[11], &x[12]);
	quarter(&x[2], &x[7], &x[8], &x[13]);
	quarter(&x[3], &x[4], &x[9], &x[14]);
}

static inline __attribute__((always_inline)) void initial(const struct work *w, vec x[16],
                                                          unsigned int set)
{
	for (int i = 0; i < 4; i++)
		x[i] = vec_set1(constants[i]);
	for (int i = 0; i < 8; i++)
		x[4 + i] = vec_set1(w->key[i]);
	x[12] = vec_load(w->pass.block + set * SET);
	x[13] = vec_set1(w->call->nonce_head);
	x[14] = vec_load(w->pass.counter_low + set * SET);
	x[15] = vec_load(w->pass.counter_high + set * SET);
}

static inline void xor_block(uint8_t *dst, const uint8_t *src, const uint8_t *with)
{
	for (size_t i = 0; i < BLOCK; i += sizeof(vec))
		vec_store(dst + i, vec_xor(vec_load(src + i), vec_load(with + i)));
}

static void xor_bytes(uint8_t *dst, const uint8_t *src, const uint8_t *with, uint32_t len)
{
	uint8_t block[BLOCK];

	memcpy(block, src, len);
	xor_block(block, block, with);
	memcpy(dst, block, len);
}

/* The last sums; then the blocks of a set go where its lanes say. */
static inline __attribute__((always_inline)) void put_blocks(struct work *w, vec x[16],
                                                             unsigned int set)
{
	uint8_t stream[SET][BLOCK] __attribute__((aligned(64)));
	const struct lane *lanes = &w->pass.lane[set * SET];
	vec start[16];

	initial(w, start, set);
	for (int i = 0; i < 16; i++)
		x[i] = vec_add(x[i], start[i]);
	vec_transpose(x);
	if (w->pass.whole[set] == SET) {
		for (int i = 0; i < SET; i++)
			vec_xor_block(lanes[i].dst, lanes[i].src, x, i);
		return;
	}
	for (int i = 0; i < SET; i++)
		vec_put_block(stream[i], x, i);
	for (unsigned int i = 0; i < SET && set * SET + i < w->pass.used; i++) {
		if (lanes[i].one_time)
			poly1305_init(lanes[i].one_time, stream[i]);
		else if (lanes[i].len == BLOCK)
			xor_block(lanes[i].dst, lanes[i].src, stream[i]);
		else
			xor_bytes(lanes[i].dst, lanes[i].src, stream[i], lanes[i].len);
	}
}

static inline __attribute__((always_inline)) void take_unit(struct poly1305 *poly,
                                                            const uint8_t *at)
{
	poly1305_block(poly, at);
	poly1305_block(poly, at + POLY1305_BLOCK);
}

/*
 * Makes the blocks of the pass in one set of lanes or in two: a second one costs half
 * of the first, whose latencies it fills. Meanwhile each stream takes up to one unit a
 * double round for eight lanes. The streams' states are copied so that they stay in
 * registers.
 */
static inline __attribute__((always_inline)) void make_blocks(struct work *w, uint32_t sets)
{
	struct stream *a = &w->stream[0], *b = &w->stream[1];
	struct poly1305 poly_a = w->poly[a->op % IDLE], poly_b = w->poly[b->op % IDLE];
	const uint8_t *at_a = a->at, *at_b = b->at;
	uint32_t units_a = a->units, units_b = b->units;
	uint32_t unit = 0;
	const uint32_t slots = sets * SET / 8;
	vec x[16], y[16];

	initial(w, x, 0);
	if (sets == 2)
		initial(w, y, 1);
	for (int i = 0; i < DOUBLE_ROUNDS; i++) {
		columns(x);
		if (unit < units_a)
			take_unit(&poly_a, at_a + unit * UNIT);
		if (sets == 2)
			columns(y);
		if (unit < units_b)
			take_unit(&poly_b, at_b + unit * UNIT);
		unit++;
		diagonals(x);
		if (slots == 1)
			continue;
		if (unit < units_a)
			take_unit(&poly_a, at_a + unit * UNIT);
		if (sets == 2)
			diagonals(y);
		if (unit < units_b)
			take_unit(&poly_b, at_b + unit * UNIT);
		unit++;
	}
	put_blocks(w, x, 0);
	if (sets == 2)
		put_blocks(w, y, 1);

	for (int i = 0; i < 2; i++) {
		struct stream *s = &w->stream[i];
		uint32_t units = s->units < unit ? s->units : unit;

		if (!units)
			continue;
		w->poly[s->op] = i ? poly_b : poly_a;
		s->at += units * UNIT;
		s->left -= units * UNIT;
		s->units -= units;
	}
	w->pass.used = 0;
	memset(w->pass.whole, 0, sizeof(w->pass.whole));
}

static __attribute__((noinline)) void make_narrow(struct work *w)
{
	make_blocks(w, 1);
}

static __attribute__((noinline)) void make_wide(struct work *w)
{
	make_blocks(w, 2);
}

static void run_pass(struct work *w)
{
	if (SETS == 2 && w->pass.used > SET)
		make_wide(w);
	else
		make_narrow(w);
}

/* --- Poly1305 --- */

static void take_units(struct work *w, struct stream *s)
{
	struct poly1305 poly;

	if (!s->units)
		return;
	poly = w->poly[s->op];
	for (; s->units; s->units--) {
		take_unit(&poly, s->at);
		s->at += UNIT;
		s->left -= UNIT;
	}
	w->poly[s->op] = poly;
}

/* Both streams, as far as both go; side by side they take as long as one. */
static __attribute__((noinline)) void take_both(struct work *w)
{
	struct stream *a = &w->stream[0], *b = &w->stream[1];
	uint32_t units = a->units < b->units ? a->units : b->units;
	struct poly1305 poly_a, poly_b;

	if (!units) {
		take_units(w, a->units ? a : b);
		return;
	}
	poly_a = w->poly[a->op];
	poly_b = w->poly[b->op];
	for (uint32_t i = 0; i < units; i++) {
		poly1305_block(&poly_a, a->at + i * UNIT);
		poly1305_block(&poly_b, b->at + i * UNIT);
		poly1305_block(&poly_a, a->at + i * UNIT + POLY1305_BLOCK);
		poly1305_block(&poly_b, b->at + i * UNIT + POLY1305_BLOCK);
	}
	w->poly[a->op] = poly_a;
	w->poly[b->op] = poly_b;
	for (int i = 0; i < 2; i++) {
		w->stream[i].at += units * UNIT;
		w->stream[i].left -= units * UNIT;
		w->stream[i].units -= units;
	}
}

/* The last bytes and the lengths; then the tag is written, or compared: all of it. */
static void finish(struct work *w, struct stream *s)
{
	struct aead_op *op = &w->ops[s->op];
	struct poly1305 *poly = &w->poly[s->op];
	uint64_t tag[2];

	take_units(w, s);
	poly1305_padded(poly, s->at, s->left);
	poly1305_words(poly, w->call->ad_len, op->len);
	poly1305_tag(poly, tag);
	if (w->opening) {
		const uint8_t *sent = op->src + op->len;

		op->ok = AEAD_PUBLISH(
			((tag[0] ^ load_le64(sent)) | (tag[1] ^ load_le64(sent + 8))) == 0);
		w->good += op->ok;
		w->verdict[s->op] = op->ok ? GOOD : BAD;
	} else {
		store_le64(op->dst + op->len, tag[0]);
		store_le64(op->dst + op->len + 8, tag[1]);
	}
	s->op = IDLE;
	s->units = 0;
}

/* How much of a packet is ciphertext by now; false where not even its key is there. */
static bool has_begun(const struct work *w, unsigned int i, uint32_t *bytes)
{
	*bytes = w->ops[i].len;
	if (w->opening || i < w->op)
		return true;
	*bytes = (w->block - 1) * BLOCK;
	return i == w->op && w->block > 0;
}

/*
 * Gives a stream what it may take, from its packet or from the next that has begun;
 * what is short is done at once. Called between passes, when all that is before the
 * place in the list has been made.
 */
static void feed(struct work *w, struct stream *s)
{
	uint32_t bytes;

	for (;;) {
		if (s->op == IDLE) {
			if (w->next == w->n || !has_begun(w, w->next, &bytes))
				return;
			s->op = w->next++;
			s->at = w->opening ? w->ops[s->op].src : w->ops[s->op].dst;
			s->left = w->ops[s->op].len;
			poly1305_padded(&w->poly[s->op], w->call->ad, w->call->ad_len);
		}
		(void)has_begun(w, s->op, &bytes);
		s->units = (bytes - (w->ops[s->op].len - s->left)) / UNIT;
		if (bytes < w->ops[s->op].len || s->units > SHORT)
			return;
		finish(w, s);
	}
}

/* --- the list --- */

static struct lane *add_lane(struct work *w, unsigned int op, uint32_t block)
{
	struct pass *pass = &w->pass;
	unsigned int i = pass->used++;

	pass->block[i] = block;
	pass->counter_low[i] = (uint32_t)w->ops[op].counter;
	pass->counter_high[i] = (uint32_t)(w->ops[op].counter >> 32);
	pass->lane[i].one_time = NULL;
	return &pass->lane[i];
}

static void add_one_time(struct work *w, unsigned int op)
{
	add_lane(w, op, 0)->one_time = &w->poly[op];
}

/* Block @block of the text, which is counted from 1. */
static void add_text(struct work *w, unsigned int op, uint32_t block)
{
	struct lane *lane = add_lane(w, op, block);
	uint32_t at = (block - 1) * BLOCK;
	uint32_t left = w->ops[op].len - at;

	lane->src = w->ops[op].src + at;
	lane->dst = w->ops[op].dst + at;
	lane->len = left < BLOCK ? left : BLOCK;
	w->pass.whole[(lane - w->pass.lane) / SET] += lane->len == BLOCK;
}

/* To the block after this one; packets' texts end before they begin when empty. */
static void advance(struct work *w)
{
	if (w->block * (uint64_t)BLOCK >= w->ops[w->op].len) {
		w->op++;
		w->block = 0;
	} else {
		w->block++;
	}
}

static __attribute__((noinline)) void seal_list(struct work *w)
{
	while (w->op < w->n) {
		feed(w, &w->stream[0]);
		feed(w, &w->stream[1]);
		while (w->pass.used < LANES && w->op < w->n) {
			if (w->block)
				add_text(w, w->op, w->block);
			else
				add_one_time(w, w->op);
			advance(w);
		}
		run_pass(w);
	}
	do {
		feed(w, &w->stream[0]);
		feed(w, &w->stream[1]);
		take_both(w);
	} while (w->stream[0].op != IDLE || w->stream[1].op != IDLE);
}

/*
 * The one-time keys of all packets. Lanes that are left over make the first blocks
 * of the first texts, which wait for the verdict on their packets: a lone small
 * packet needs no second pass. Returns how many.
 */
static unsigned int open_keys(struct work *w)
{
	static const uint8_t zeros[BLOCK];
	unsigned int early = 0;

	for (unsigned int i = 0; i < w->n; i++) {
		if (w->pass.used == LANES)
			run_pass(w);
		add_one_time(w, i);
	}
	for (; early < EARLY && w->pass.used % SET && w->op < w->n; advance(w)) {
		struct lane *lane;

		if (!w->block)
			continue;
		lane = add_lane(w, w->op, w->block);
		lane->src = zeros;
		lane->dst = w->early[early++];
		lane->len = BLOCK;
	}
	run_pass(w);
	return early;
}

/* Adds what may be decrypted. Of the first @early blocks the key stream is there. */
static void open_lanes(struct work *w, unsigned int early, unsigned int *used)
{
	for (; w->op < w->n && w->verdict[w->op] != PENDING; advance(w)) {
		const struct aead_op *op = &w->ops[w->op];
		uint32_t at = (w->block - 1) * BLOCK;

		if (!w->block)
			continue;
		if (*used < early) {
			if (op->ok)
				xor_bytes(op->dst + at, op->src + at, w->early[*used],
				          op->len - at < BLOCK ? op->len - at : BLOCK);
			++*used;
			continue;
		}
		if (!op->ok)
			continue;
		if (w->pass.used == LANES)
			return;
		add_text(w, w->op, w->block);
	}
}

static __attribute__((noinline)) void open_list(struct work *w)
{
	unsigned int early = open_keys(w);
	unsigned int used = 0;

	w->op = w->block = 0;
	for (;;) {
		feed(w, &w->stream[0]);
		feed(w, &w->stream[1]);
		open_lanes(w, early, &used);
		if (w->op < w->n && w->pass.used < LANES)
			take_both(w);
		else if (w->pass.used)
			run_pass(w);
		else
			return;
	}
}

/* --- entry --- */

/*
 * Spilled registers lie in the frames below the caller's: gone before anyone reads them.
 * The room is not aligned, so that it begins right below the caller's frame, and is
 * filled by registers, since memset() takes several times as long to begin.
 */
static __attribute__((noinline)) void wipe_below(void)
{
	uint8_t spilled[SPILLED];

	for (size_t i = 0; i < SPILLED; i += sizeof(vec)) {
		vec_store(spilled + i, vec_set1(0));
		__asm__ volatile("" : : "r"(spilled) : "memory");
	}
}

/* All secrets are in @w or in the frames of what is called; none is in this one's. */
static unsigned int run(struct work *w, const struct aead_call *call, struct aead_op *ops,
                        unsigned int n, void (*list)(struct work *))
{
	unsigned int good;

	memcpy(w->key, call->key, sizeof(w->key));
	w->call = call;
	w->ops = ops;
	w->n = n;
	w->op = w->block = w->next = w->good = 0;
	w->stream[0] = w->stream[1] = (struct stream){ .op = IDLE };
	memset(&w->pass, 0, sizeof(w->pass));
	list(w);
	good = w->good;
	secret_wipe(w, offsetof(struct work, poly) + n * sizeof(w->poly[0]));
	wipe_below();
	return good;
}

static void list_seal(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	struct work w;

	w.opening = false;
	if (n)
		(void)run(&w, call, ops, n, seal_list);
}

static unsigned int list_open(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	struct work w;

	if (!n)
		return 0;
	w.opening = true;
	memset(w.verdict, PENDING, n);
	return run(&w, call, ops, n, open_list);
}

#endif
