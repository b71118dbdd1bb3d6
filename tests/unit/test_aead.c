/* SPDX-License-Identifier: MIT */
/*
 * Each AEAD against RFC 8439's printed vectors, and against a twin that is slow
 * and obvious: ChaCha20 word by word, Poly1305 in bytes with school arithmetic.
 * The twin is itself held to the vectors of appendix A, which reach what random
 * messages practically never do, the last reduction of Poly1305 above all.
 */
#include "unit.h"

#include <stdlib.h>
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "tests/unit/aead_each.h"

#define TEXT_MAX 2048

static const char zero_key[] = "0000000000000000000000000000000000000000000000000000000000000000";
static const char one_key[] = "0000000000000000000000000000000000000000000000000000000000000001";
static const char rfc_key[] = "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
static const char zero_nonce[] = "000000000000000000000000";
static const char two_nonce[] = "000000000000000000000002";

static const char contribution[] =
	"Any submission to the IETF intended by the Contributor for publication as all or part of "
	"an IETF Internet-Draft or RFC and any statement made within the context of an IETF "
	"activity is considered an \"IETF Contribution\". Such statements include oral statements "
	"in IETF sessions, as well as written and electronic communications made at any time or "
	"place, which are addressed to";

static const char jabberwocky[] =
	"'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe:\n"
	"All mimsy were the borogoves,\nAnd the mome raths outgrabe.";

/* --- the twin --- */

static uint32_t rotate(uint32_t v, int n)
{
	return v << n | v >> (32 - n);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 12);
	*a += *b;
	*d = rotate(*d ^ *a, 8);
	*c += *d;
	*b = rotate(*b ^ *c, 7);
}

static void twin_block(uint8_t out[64], const uint8_t key[KEY_SIZE],
                       const uint8_t nonce[NONCE_SIZE], uint32_t counter)
{
	uint32_t start[16], s[16];

	memcpy(start, "expand 32-byte k", 16);
	for (int i = 0; i < 4; i++)
		start[i] = load_le32(&start[i]);
	for (int i = 0; i < 8; i++)
		start[4 + i] = load_le32(key + 4 * i);
	start[12] = counter;
	for (int i = 0; i < 3; i++)
		start[13 + i] = load_le32(nonce + 4 * i);
	memcpy(s, start, sizeof(s));
	for (int i = 0; i < 10; i++) {
		for (int j = 0; j < 4; j++)
			quarter_round(&s[j], &s[4 + j], &s[8 + j], &s[12 + j]);
		for (int j = 0; j < 4; j++)
			quarter_round(&s[j], &s[4 + (j + 1) % 4], &s[8 + (j + 2) % 4],
			              &s[12 + (j + 3) % 4]);
	}
	for (int i = 0; i < 16; i++)
		store_le32(out + 4 * i, s[i] + start[i]);
}

static void twin_xor(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[KEY_SIZE],
                     const uint8_t nonce[NONCE_SIZE], uint32_t counter)
{
	uint8_t block[64];

	for (size_t i = 0; i < len; i++) {
		if (i % 64 == 0)
			twin_block(block, key, nonce, counter + (uint32_t)(i / 64));
		out[i] = in[i] ^ block[i % 64];
	}
}

/* Numbers of 34 bytes, least significant first, each byte in a word of its own. */
struct number {
	uint32_t byte[34];
};

static void carry(struct number *n)
{
	for (int i = 0; i < 33; i++) {
		n->byte[i + 1] += n->byte[i] >> 8;
		n->byte[i] &= 0xff;
	}
}

/* What is above 2^130 comes in again below, times five. */
static void fold(struct number *n)
{
	struct number high = { { 0 } };

	for (int i = 16; i < 33; i++)
		high.byte[i - 16] = (n->byte[i] >> 2) | (n->byte[i + 1] & 3) << 6;
	high.byte[17] = n->byte[33] >> 2;
	n->byte[16] &= 3;
	for (int i = 17; i < 34; i++)
		n->byte[i] = 0;
	for (int i = 0; i < 18; i++)
		n->byte[i] += 5 * high.byte[i];
	carry(n);
}

static void twin_poly1305(uint8_t tag[16], const uint8_t key[32], const uint8_t *msg, size_t len)
{
	struct number acc = { { 0 } }, r = { { 0 } }, more;

	for (int i = 0; i < 16; i++)
		r.byte[i] = key[i];
	for (int i = 3; i < 16; i += 4)
		r.byte[i] &= 15;
	for (int i = 4; i < 16; i += 4)
		r.byte[i] &= 252;
	for (size_t at = 0; at < len; at += 16) {
		size_t n = len - at < 16 ? len - at : 16;
		struct number product = { { 0 } };

		for (size_t i = 0; i < n; i++)
			acc.byte[i] += msg[at + i];
		acc.byte[n] += 1;
		carry(&acc);
		for (int i = 0; i < 17; i++) {
			for (int j = 0; j < 16; j++)
				product.byte[i + j] += acc.byte[i] * r.byte[j];
		}
		carry(&product);
		fold(&product);
		fold(&product);
		acc = product;
	}
	/* between p and 2^130 it is p too much: adding 5 then carries into bit 130 */
	more = acc;
	more.byte[0] += 5;
	carry(&more);
	if (more.byte[16] & 4)
		acc = more;
	for (int i = 0; i < 16; i++)
		acc.byte[i] += key[16 + i];
	carry(&acc);
	for (int i = 0; i < 16; i++)
		tag[i] = (uint8_t)acc.byte[i];
}

static void twin_tag(uint8_t tag[16], const uint8_t one_time[32], const void *ad, size_t ad_len,
                     const uint8_t *ct, size_t len)
{
	static uint8_t buf[2 * TEXT_MAX + 64];
	size_t at = 0;

	memset(buf, 0, sizeof(buf));
	if (ad_len)
		memcpy(buf, ad, ad_len);
	at = (ad_len + 15) / 16 * 16;
	memcpy(buf + at, ct, len);
	at += (len + 15) / 16 * 16;
	store_le64(buf + at, ad_len);
	store_le64(buf + at + 8, len);
	twin_poly1305(tag, one_time, buf, at + 16);
}

static void twin_seal(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
                      const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	uint8_t block[64];

	twin_block(block, key, nonce, 0);
	twin_xor(dst, src, len, key, nonce, 1);
	twin_tag(dst + len, block, ad, ad_len, dst, len);
}

/* --- the vectors --- */

static void check_hex(const uint8_t *have, size_t len, const char *want)
{
	static uint8_t bytes[TEXT_MAX];

	assert_int_equal(unit_hex(bytes, want), len);
	assert_memory_equal(have, bytes, len);
}

static void test_rfc_8439_a1_blocks(void **state)
{
	static const struct {
		const char *key, *nonce;
		uint32_t counter;
		const char *block;
	} rows[] = {
		{ zero_key, zero_nonce, 0,
		  "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
		  "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586" },
		{ zero_key, zero_nonce, 1,
		  "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
		  "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f" },
		{ one_key, zero_nonce, 1,
		  "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
		  "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0" },
		{ "00ff000000000000000000000000000000000000000000000000000000000000", zero_nonce, 2,
		  "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
		  "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096" },
		{ zero_key, two_nonce, 0,
		  "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
		  "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d" },
	};
	uint8_t key[KEY_SIZE], nonce[NONCE_SIZE], block[64];
	uint8_t zeros[128] = { 0 }, sealed[128 + AEAD_TAG_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t counter = rows[i].counter;

		unit_hex(key, rows[i].key);
		unit_hex(nonce, rows[i].nonce);
		twin_block(block, key, nonce, counter);
		check_hex(block, 64, rows[i].block);
		if (counter == 0)
			continue; /* the AEAD's text begins with block 1 */
		aead_seal_nonce(sealed, zeros, sizeof(zeros), NULL, 0, nonce, key);
		check_hex(sealed + 64 * (counter - 1), 64, rows[i].block);
		aead_seal(sealed, zeros, sizeof(zeros), NULL, 0, 0, key);
		check_hex(sealed + 64 * (counter - 1), 64, rows[i].block);
	}
}

static void test_rfc_8439_a2_encryption(void **state)
{
	static const char second[] =
		"a3fbf07df3fa2fde4f376ca23e82737041605d9f4f4f57bd8cff2c1d4b7955ec"
		"2a97948bd3722915c8f3d337f7d370050e9e96d647b7c39f56e031ca5eb6250d"
		"4042e02785ececfa4b4bb5e8ead0440e20b6e8db09d881a7c6132f420e527950"
		"42bdfa7773d8a9051447b3291ce1411c680465552aa6c405b7764d5e87bea85a"
		"d00f8449ed8f72d0d662ab052691ca66424bc86d2df80ea41f43abf937d3259d"
		"c4b2d0dfb48a6c9139ddd7f76966e928e635553ba76c5c879d7b35d49eb2e62b"
		"0871cdac638939e25e8a1e0ef9d5280fa8ca328b351c3c765989cbcf3daa8b6c"
		"cc3aaf9f3979c92b3720fc88dc95ed84a1be059c6499b9fda236e7e818b04b0b"
		"c39c1e876b193bfe5569753f88128cc08aaa9b63d1a16f80ef2554d7189c411f"
		"5869ca52c5b83fa36ff216b9c1d30062bebcfd2dc5bce0911934fda79a86f6e6"
		"98ced759c3ff9b6477338f3da4f9cd8514ea9982ccafb341b2384dd902f3d1ab"
		"7ac61dd29c6f21ba5b862f3730e37cfdc4fd806c22f221";
	static const char third[] =
		"62e6347f95ed87a45ffae7426f27a1df5fb69110044c0d73118effa95b01e5cf"
		"166d3df2d721caf9b21e5fb14c616871fd84c54f9d65b283196c7fe4f60553eb"
		"f39c6402c42234e32a356b3e764312a61a5532055716ead6962568f87d3f3f77"
		"04c6a8d1bcd1bf4d50d6154b6da731b187b58dfd728afa36757a797ac188d1";
	static uint8_t text[42 * 64 + 256], sealed[sizeof(text) + AEAD_TAG_SIZE];
	const size_t len = sizeof(contribution) - 1;
	const size_t len3 = sizeof(jabberwocky) - 1;
	uint8_t key[KEY_SIZE], nonce[NONCE_SIZE];

	(void)state;
	unit_hex(nonce, two_nonce);
	unit_hex(key, one_key);
	memcpy(text, contribution, len);
	twin_xor(sealed, text, len, key, nonce, 1);
	check_hex(sealed, len, second);
	memset(sealed, 0, sizeof(sealed));
	aead_seal_nonce(sealed, text, len, NULL, 0, nonce, key);
	check_hex(sealed, len, second);

	/* block 42 is the text's 41st after the first */
	unit_hex(key, rfc_key);
	memset(text, 0, sizeof(text));
	memcpy(text + 41 * 64, jabberwocky, len3);
	aead_seal_nonce(sealed, text, 41 * 64 + len3, NULL, 0, nonce, key);
	check_hex(sealed + 41 * 64, len3, third);
}

static void test_rfc_8439_a3_poly1305(void **state)
{
	static const struct {
		const char *r, *s, *data, *tag; /* data NULL: the text about contributions */
	} rows[] = {
		{ "00000000000000000000000000000000", "00000000000000000000000000000000",
		  "0000000000000000000000000000000000000000000000000000000000000000"
		  "0000000000000000000000000000000000000000000000000000000000000000",
		  "00000000000000000000000000000000" },
		{ "00000000000000000000000000000000", "36e5f6b5c5e06070f0efca96227a863e", NULL,
		  "36e5f6b5c5e06070f0efca96227a863e" },
		{ "36e5f6b5c5e06070f0efca96227a863e", "00000000000000000000000000000000", NULL,
		  "f3477e7cd95417af89a6b8794c310cf0" },
		/* the poem of A.2 */
		{ "1c9240a5eb55d38af333888604f6b5f0", "473917c1402b80099dca5cbc207075c0",
		  "2754776173206272696c6c69672c20616e642074686520736c6974687920746f"
		  "7665730a446964206779726520616e642067696d626c6520696e207468652077"
		  "6162653a0a416c6c206d696d737920776572652074686520626f726f676f7665"
		  "732c0a416e6420746865206d6f6d65207261746873206f757467726162652e",
		  "4541669a7eaaee61e708dc7cbcc5eb62" },
		{ "02000000000000000000000000000000", "00000000000000000000000000000000",
		  "ffffffffffffffffffffffffffffffff", "03000000000000000000000000000000" },
		{ "02000000000000000000000000000000", "ffffffffffffffffffffffffffffffff",
		  "02000000000000000000000000000000", "03000000000000000000000000000000" },
		{ "01000000000000000000000000000000", "00000000000000000000000000000000",
		  "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff"
		  "11000000000000000000000000000000",
		  "05000000000000000000000000000000" },
		{ "01000000000000000000000000000000", "00000000000000000000000000000000",
		  "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe"
		  "01010101010101010101010101010101",
		  "00000000000000000000000000000000" },
		{ "02000000000000000000000000000000", "00000000000000000000000000000000",
		  "fdffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff" },
		{ "01000000000000000400000000000000", "00000000000000000000000000000000",
		  "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
		  "0000000000000000000000000000000001000000000000000000000000000000",
		  "14000000000000005500000000000000" },
		{ "01000000000000000400000000000000", "00000000000000000000000000000000",
		  "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
		  "00000000000000000000000000000000",
		  "13000000000000000000000000000000" },
	};
	static uint8_t data[TEXT_MAX];
	uint8_t key[32], tag[16];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = sizeof(contribution) - 1;

		unit_hex(key, rows[i].r);
		unit_hex(key + 16, rows[i].s);
		if (rows[i].data)
			len = unit_hex(data, rows[i].data);
		else
			memcpy(data, contribution, len);
		twin_poly1305(tag, key, data, len);
		check_hex(tag, sizeof(tag), rows[i].tag);
	}
}

/* The one-time keys cannot be seen from outside; the tag of nothing shows them. */
static void test_rfc_8439_a4_one_time_keys(void **state)
{
	static const struct {
		const char *key, *nonce, *one_time;
	} rows[] = {
		{ zero_key, zero_nonce,
		  "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7" },
		{ one_key, two_nonce,
		  "ecfa254f845f647473d3cb140da9e87606cb33066c447b87bc2666dde3fbb739" },
		{ rfc_key, two_nonce,
		  "965e3bc6f9ec7ed9560808f4d229f94b137ff275ca9b3fcbdd59deaad23310ae" },
	};
	uint8_t key[KEY_SIZE], nonce[NONCE_SIZE], one_time[32], tag[16], want[16], none[1] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unit_hex(key, rows[i].key);
		unit_hex(nonce, rows[i].nonce);
		unit_hex(one_time, rows[i].one_time);
		twin_tag(want, one_time, "ad", 2, none, 0);
		aead_seal_nonce(tag, none, 0, "ad", 2, nonce, key);
		assert_memory_equal(tag, want, sizeof(tag));
	}
}

static void test_rfc_8439_2_8_2_encryption(void **state)
{
	static const char plain[] = "Ladies and Gentlemen of the class of '99: If I could offer "
				    "you only one tip for the future, sunscreen would be it.";
	static const char want[] =
		"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
		"3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
		"92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
		"3ff4def08e4b7a9de576d26586cec64b6116"
		"1ae10b594f09e26a7e902ecbd0600691";
	const size_t len = sizeof(plain) - 1;
	uint8_t key[KEY_SIZE], nonce[NONCE_SIZE], ad[12], text[sizeof(plain)];
	uint8_t sealed[sizeof(plain) + AEAD_TAG_SIZE];

	(void)state;
	unit_hex(key, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	unit_hex(nonce, "070000004041424344454647");
	unit_hex(ad, "50515253c0c1c2c3c4c5c6c7");
	memcpy(text, plain, len);
	aead_seal_nonce(sealed, text, len, ad, sizeof(ad), nonce, key);
	check_hex(sealed, len + AEAD_TAG_SIZE, want);
	twin_seal(sealed, text, len, ad, sizeof(ad), nonce, key);
	check_hex(sealed, len + AEAD_TAG_SIZE, want);
}

static void test_rfc_8439_a5_decryption(void **state)
{
	static const char cipher[] =
		"64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
		"4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
		"332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
		"9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
		"b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
		"af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
		"0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
		"49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
		"a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38";
	static const char plain[] =
		"Internet-Drafts are draft documents valid for a maximum of six months and may be "
		"updated, replaced, or obsoleted by other documents at any time. It is "
		"inappropriate to use Internet-Drafts as reference material or to cite them other "
		"than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
	uint8_t key[KEY_SIZE], nonce[NONCE_SIZE], ad[12], sealed[512], text[512];
	size_t len;

	(void)state;
	unit_hex(key, rfc_key);
	unit_hex(nonce, "000000000102030405060708");
	unit_hex(ad, "f33388860000000000004e91");
	len = unit_hex(sealed, cipher);
	assert_int_equal(len - AEAD_TAG_SIZE, sizeof(plain) - 1);
	assert_true(aead_open_nonce(text, sealed, len, ad, sizeof(ad), nonce, key));
	assert_memory_equal(text, plain, sizeof(plain) - 1);
	/* its nonce is one of ours: four zero bytes, then a counter */
	assert_true(aead_open(text, sealed, len, ad, sizeof(ad), 0x0807060504030201, key));
	sealed[0] ^= 1;
	assert_false(aead_open(text, sealed, len, ad, sizeof(ad), 0x0807060504030201, key));
}

/* --- against the twin --- */

static void check_against_twin(size_t len, size_t ad_len, uint64_t counter, uint64_t *seed)
{
	static uint8_t text[TEXT_MAX], ad[64], key[KEY_SIZE];
	static uint8_t want[TEXT_MAX + AEAD_TAG_SIZE], have[TEXT_MAX + AEAD_TAG_SIZE + 1];
	uint8_t nonce[NONCE_SIZE] = { 0 };

	for (size_t i = 0; i < len; i++)
		text[i] = (uint8_t)unit_random(seed);
	for (size_t i = 0; i < ad_len; i++)
		ad[i] = (uint8_t)unit_random(seed);
	for (size_t i = 0; i < KEY_SIZE; i++)
		key[i] = (uint8_t)unit_random(seed);
	store_le64(nonce + 4, counter);
	twin_seal(want, text, len, ad, ad_len, nonce, key);
	have[len + AEAD_TAG_SIZE] = 0x5a;
	aead_seal(have, text, len, ad, ad_len, counter, key);
	assert_memory_equal(have, want, len + AEAD_TAG_SIZE);
	assert_int_equal(have[len + AEAD_TAG_SIZE], 0x5a);
	assert_true(aead_open(have, want, len + AEAD_TAG_SIZE, ad, ad_len, counter, key));
	assert_memory_equal(have, text, len);
}

static void test_every_length_against_the_twin(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (size_t len = 0; len < 600; len++)
		check_against_twin(len, len % 37, unit_random(&seed), &seed);
	for (size_t len = 600; len < TEXT_MAX; len += 97)
		check_against_twin(len, 0, unit_random(&seed), &seed);
	/* counters where a nonce of 32 bits would come round */
	check_against_twin(100, 0, 0, &seed);
	check_against_twin(100, 0, UINT32_MAX, &seed);
	check_against_twin(100, 0, UINT32_MAX + 1ULL, &seed);
	check_against_twin(100, 0, UINT64_MAX, &seed);
}

/* A burst of @n with unequal lengths, in place or not, one of them bad. */
static void check_burst(unsigned int n, bool in_place, uint64_t *seed)
{
	enum { ROOM = 1600 };
	static uint8_t src[AEAD_BURST_MAX][ROOM], dst[AEAD_BURST_MAX][ROOM];
	static uint8_t plain[AEAD_BURST_MAX][ROOM], want[ROOM];
	struct aead_op ops[AEAD_BURST_MAX];
	unsigned int bad = (unsigned int)(unit_random(seed) % n);
	uint8_t key[KEY_SIZE];
	uint8_t *sealed;

	secret_random(key, sizeof(key));
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = (uint32_t)(unit_random(seed) % (i % 4 ? 1500 : 80));

		secret_random(plain[i], ROOM);
		memcpy(src[i], plain[i], ROOM);
		memset(dst[i], 0xee, ROOM);
		ops[i] = (struct aead_op){ .src = src[i],
			                   .dst = in_place ? src[i] : dst[i],
			                   .len = len,
			                   .counter = unit_random(seed) };
	}
	aead_seal_burst(key, ops, n);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t nonce[NONCE_SIZE] = { 0 };
		uint32_t end = ops[i].len + AEAD_TAG_SIZE;

		store_le64(nonce + 4, ops[i].counter);
		twin_seal(want, plain[i], ops[i].len, NULL, 0, nonce, key);
		assert_memory_equal(ops[i].dst, want, end);
		/* nothing behind the tag was touched */
		memset(want, 0xee, ROOM);
		assert_memory_equal(ops[i].dst + end, in_place ? plain[i] + end : want, ROOM - end);
		/* and back: in place again, or from dst to src */
		ops[i].src = ops[i].dst;
		ops[i].dst = src[i];
		ops[i].ok = i % 2;
	}
	sealed = in_place ? src[bad] : dst[bad];
	sealed[unit_random(seed) % (ops[bad].len + AEAD_TAG_SIZE)] ^= 4;
	assert_int_equal(aead_open_burst(key, ops, n), n - 1);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(ops[i].ok, i != bad);
		if (i != bad)
			assert_memory_equal(ops[i].dst, plain[i], ops[i].len);
	}
}

static void test_bursts_against_the_twin(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned int n = 1; n <= AEAD_BURST_MAX; n += n < 20 ? 1 : 11) {
		check_burst(n, true, &seed);
		check_burst(n, false, &seed);
	}
	aead_seal_burst((const uint8_t *)one_key, NULL, 0);
	assert_int_equal(aead_open_burst((const uint8_t *)one_key, NULL, 0), 0);
}

/* --- refusals --- */

static void test_every_bit_counts(void **state)
{
	uint8_t key[KEY_SIZE] = { 3 }, ad[5] = { 1, 2, 3, 4, 5 }, text[40] = { 9 };
	uint8_t sealed[40 + AEAD_TAG_SIZE], out[40];

	(void)state;
	aead_seal(sealed, text, sizeof(text), ad, sizeof(ad), 77, key);
	for (size_t i = 0; i < sizeof(sealed) * 8; i++) {
		sealed[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(aead_open(out, sealed, sizeof(sealed), ad, sizeof(ad), 77, key));
		sealed[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < sizeof(ad); i++) {
		ad[i] ^= 1;
		assert_false(aead_open(out, sealed, sizeof(sealed), ad, sizeof(ad), 77, key));
		ad[i] ^= 1;
	}
	for (int bit = 0; bit < 64; bit++)
		assert_false(aead_open(out, sealed, sizeof(sealed), ad, sizeof(ad),
		                       77 ^ 1ULL << bit, key));
	for (size_t len = 0; len < sizeof(sealed); len++)
		assert_false(aead_open(out, sealed, len, ad, sizeof(ad), 77, key));
	assert_false(aead_open(out, sealed, sizeof(sealed), ad, sizeof(ad) - 1, 77, key));
	key[31] ^= 0x80;
	assert_false(aead_open(out, sealed, sizeof(sealed), ad, sizeof(ad), 77, key));
	key[31] ^= 0x80;
	assert_true(aead_open(out, sealed, sizeof(sealed), ad, sizeof(ad), 77, key));
	assert_memory_equal(out, text, sizeof(text));
}

static void test_xchacha_round_trip_and_refusals(void **state)
{
	uint8_t key[KEY_SIZE] = { 5 }, nonce[XNONCE_SIZE] = { 6 }, text[16] = { 7 }, ad[16] = { 8 };
	uint8_t sealed[16 + AEAD_TAG_SIZE], out[16];

	(void)state;
	aead_xseal(sealed, text, sizeof(text), ad, sizeof(ad), nonce, key);
	assert_true(aead_xopen(out, sealed, sizeof(sealed), ad, sizeof(ad), nonce, key));
	assert_memory_equal(out, text, sizeof(text));
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 1;
		assert_false(aead_xopen(out, sealed, sizeof(sealed), ad, sizeof(ad), nonce, key));
		sealed[i] ^= 1;
	}
	for (size_t i = 0; i < XNONCE_SIZE; i++) {
		nonce[i] ^= 1;
		assert_false(aead_xopen(out, sealed, sizeof(sealed), ad, sizeof(ad), nonce, key));
		nonce[i] ^= 1;
	}
	ad[15] ^= 1;
	assert_false(aead_xopen(out, sealed, sizeof(sealed), ad, sizeof(ad), nonce, key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_8439_a1_blocks),
		cmocka_unit_test(test_rfc_8439_a2_encryption),
		cmocka_unit_test(test_rfc_8439_a3_poly1305),
		cmocka_unit_test(test_rfc_8439_a4_one_time_keys),
		cmocka_unit_test(test_rfc_8439_2_8_2_encryption),
		cmocka_unit_test(test_rfc_8439_a5_decryption),
		cmocka_unit_test(test_every_length_against_the_twin),
		cmocka_unit_test(test_bursts_against_the_twin),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_xchacha_round_trip_and_refusals),
	};
	int failed = 0;

	if (secret_init())
		return 1;
	for (size_t i = 0; i < AEAD_EACH_COUNT; i++) {
		int ret = aead_each_use(aead_each[i]);

		if (ret == 0)
			failed |= cmocka_run_group_tests_name(aead_each[i], tests, NULL, NULL);
		else if (ret < 0)
			failed = 1;
	}
	return failed;
}
