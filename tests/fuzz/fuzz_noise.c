/* SPDX-License-Identifier: MIT */
/*
 * Everything in crypto/ that reads what others wrote. Random bytes never pass a
 * tag, so the input is laid by XOR over a genuine message: all zero is the
 * message itself, and the fuzzer explores what lies next to it. The first byte
 * chooses what is read. What must hold of every input is checked, not only that
 * nothing crashes: a message that was changed is refused, and a message refused
 * leaves the state as it was.
 */
#include "crypto/cookie.h"
#include "crypto/noise.h"
#include "crypto/secret.h"
#include "crypto/session.h"
#include "fuzz/fuzz.h"

#define NOW_NS      (1000ULL * 1000000000)
#define PACKETS     4
#define PACKET_LEN  64
#define PACKET_SIZE (PACKET_LEN + MESSAGE_DATA_OVERHEAD)

/* Two hosts with keys that are the same in every run. */
static struct noise_identity a_id, b_id;
static struct noise_handshake a_sent, b_fresh; /* before the message under test */
static struct message_initiation initiation;
static struct message_response response;
static struct cookie_maker maker;
static struct cookie_checker checker;
static struct message_cookie_reply reply;
static const struct cookie_source source = { .addr_len = 4, .port = { { 1, 2 } } };
static struct keypair sender, receiver;
static uint8_t packets[PACKETS][PACKET_SIZE];

static void prepare_handshake(void)
{
	static const uint8_t a_key[KEY_SIZE] = { 1 }, b_key[KEY_SIZE] = { 2 },
			     psk[KEY_SIZE] = { 3 };
	static const uint8_t a_ephemeral[KEY_SIZE] = { 4 }, b_ephemeral[KEY_SIZE] = { 5 };
	struct noise_initiation in;
	struct noise_handshake b;
	uint8_t stamp[TIMESTAMP_SIZE];

	noise_identity_init(&a_id, a_key);
	noise_identity_init(&b_id, b_key);
	noise_handshake_init(&a_sent, &a_id, b_id.public_key, psk);
	noise_handshake_init(&b_fresh, &b_id, a_id.public_key, psk);
	noise_timestamp(stamp, 1700000000, 0);
	must(noise_create_initiation(&a_sent, &a_id, a_ephemeral, stamp, 11, &initiation) ==
	     NOISE_OK);
	b = b_fresh;
	must(noise_open_initiation(&b_id, &initiation, &in) == NOISE_OK);
	must(noise_consume_initiation(&b, &initiation, &in, NOW_NS) == NOISE_OK);
	must(noise_create_response(&b, b_ephemeral, 22, &response) == NOISE_OK);
}

static void prepare_cookie(void)
{
	static const uint8_t random[HASH_SIZE] = { 6 }, nonce[XNONCE_SIZE] = { 7 };

	cookie_maker_init(&maker, b_id.public_key);
	cookie_checker_init(&checker, b_id.public_key);
	cookie_add_macs(&maker, &initiation, sizeof(initiation), NOW_NS);
	must(cookie_check_macs(&checker, &initiation, sizeof(initiation), &source, NOW_NS,
	                       random) == COOKIE_MAC1_ONLY);
	cookie_create_reply(&checker, &reply, &initiation, sizeof(initiation), &source, nonce);
}

static void prepare_session(void)
{
	static const uint8_t key[KEY_SIZE] = { 8 };
	struct session_op ops[PACKETS];

	memcpy(sender.send_key, key, KEY_SIZE);
	memcpy(receiver.receive_key, key, KEY_SIZE);
	for (unsigned int i = 0; i < PACKETS; i++)
		ops[i] = (struct session_op){ .packet = packets[i], .len = PACKET_LEN };
	session_seal_burst(&sender, 8000, ops, PACKETS);
}

/* @message XOR the input; true if that changed something in [@from, @to). */
static bool lay_over(void *message, size_t len, const uint8_t *data, size_t size, size_t from,
                     size_t to)
{
	uint8_t *bytes = message;
	bool changed = false;

	for (size_t i = 0; i < len && i < size; i++) {
		bytes[i] ^= data[i];
		changed |= data[i] && i >= from && i < to;
	}
	return changed;
}

static void try_initiation(const uint8_t *data, size_t size)
{
	struct message_initiation msg = initiation;
	struct noise_handshake hs = b_fresh;
	struct noise_initiation in;
	enum noise_verdict verdict;
	bool changed = lay_over(&msg, sizeof(msg), data, size,
	                        offsetof(struct message_initiation, ephemeral),
	                        offsetof(struct message_initiation, macs));

	verdict = noise_open_initiation(&b_id, &msg, &in);
	if (verdict == NOISE_OK)
		verdict = noise_consume_initiation(&hs, &msg, &in, NOW_NS);
	must((verdict == NOISE_OK) == !changed);
	must(!changed || memcmp(&hs, &b_fresh, sizeof(hs)) == 0);
}

static void try_response(const uint8_t *data, size_t size)
{
	struct message_response msg = response;
	struct noise_handshake hs = a_sent;
	bool changed =
		lay_over(&msg, sizeof(msg), data, size, offsetof(struct message_response, receiver),
	                 offsetof(struct message_response, macs));

	must((noise_consume_response(&hs, &a_id, &msg) == NOISE_OK) == !changed);
	must(!changed || memcmp(&hs, &a_sent, sizeof(hs)) == 0);
}

static void try_macs(const uint8_t *data, size_t size)
{
	static const uint8_t random[HASH_SIZE] = { 9 };
	struct message_initiation msg = initiation;
	struct cookie_checker copy = checker;
	enum cookie_verdict verdict;
	bool changed = lay_over(&msg, sizeof(msg), data, size, 0,
	                        offsetof(struct message_initiation, macs.mac2));

	verdict = cookie_check_macs(&copy, &msg, sizeof(msg), &source, NOW_NS, random);
	must(verdict == (changed ? COOKIE_BAD_MAC1 : COOKIE_MAC1_ONLY));
	must(memcmp(&copy, &checker, sizeof(copy)) == 0);
}

static void try_reply(const uint8_t *data, size_t size)
{
	struct message_cookie_reply msg = reply;
	struct cookie_maker copy = maker;
	bool changed = lay_over(&msg, sizeof(msg), data, size,
	                        offsetof(struct message_cookie_reply, nonce), sizeof(msg));

	must(cookie_consume_reply(&copy, &msg, NOW_NS) == !changed);
	must(!changed || memcmp(&copy, &maker, sizeof(copy)) == 0);
}

static void try_packets(const uint8_t *data, size_t size)
{
	static struct keypair kp;
	uint8_t copies[PACKETS][PACKET_SIZE];
	struct session_op ops[PACKETS];
	bool changed[PACKETS];
	unsigned int intact = 0;

	memcpy(&kp, &receiver, sizeof(kp));
	for (unsigned int i = 0; i < PACKETS; i++) {
		size_t skip = i * PACKET_SIZE < size ? i * PACKET_SIZE : size;

		memcpy(copies[i], packets[i], PACKET_SIZE);
		changed[i] = lay_over(copies[i], PACKET_SIZE, data + skip, size - skip,
		                      offsetof(struct message_data, counter), PACKET_SIZE);
		intact += !changed[i];
		ops[i] = (struct session_op){ .packet = copies[i], .len = PACKET_LEN };
	}
	must(session_open_burst(&kp, ops, PACKETS) == intact);
	for (unsigned int i = 0; i < PACKETS; i++)
		must((ops[i].verdict == SESSION_OK) == !changed[i]);
	/* what is left of the genuine ones is known already */
	for (unsigned int i = 0; i < PACKETS; i++)
		memcpy(copies[i], packets[i], PACKET_SIZE);
	must(session_open_burst(&kp, ops, PACKETS) == PACKETS - intact);
}

static void try_text(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char back[KEY_HEX_LEN + 1];
	uint8_t key[KEY_SIZE];

	/* what is taken is exactly what would be written */
	if (secret_from_base64(key, text, size)) {
		secret_to_base64(back, key);
		must(size == KEY_BASE64_LEN && memcmp(back, text, size) == 0);
	}
	if (secret_from_hex(key, text, size)) {
		secret_to_hex(back, key);
		must(size == KEY_HEX_LEN && memcmp(back, text, size) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(const uint8_t *data, size_t size) = {
		try_initiation, try_response, try_macs, try_reply, try_packets, try_text,
	};
	static bool prepared;

	if (!prepared) {
		must(secret_init() == 0);
		prepare_handshake();
		prepare_cookie();
		prepare_session();
		prepared = true;
	}
	if (size > 0)
		tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](data + 1, size - 1);
	return 0;
}
