/* SPDX-License-Identifier: MIT */
#include "ctl/join_session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "crypto/secret.h"

#define DATAGRAM_MAX 2048
#define ASK_TRIES    5

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static socklen_t address_len(const struct endpoint *endpoint)
{
	return endpoint->remote.sa.sa_family == AF_INET ? sizeof(endpoint->remote.in)
	                                                : sizeof(endpoint->remote.in6);
}

int join_session_open(struct join_session *session, const struct token *token,
                      const struct endpoint *remote, uint16_t port)
{
	struct endpoint own = { .remote.sa.sa_family = remote->remote.sa.sa_family };
	struct token_keys keys;
	int err;

	memset(session, 0, sizeof(*session));
	token_derive(token, &keys);
	noise_identity_init(&session->identity, keys.private_key);
	noise_handshake_init(&session->handshake, &session->identity, token->introducer, keys.psk);
	cookie_maker_init(&session->cookie, token->introducer);
	secret_wipe(&keys, sizeof(keys));
	session->remote = *remote;
	if (own.remote.sa.sa_family == AF_INET)
		own.remote.in.sin_port = htons(port);
	else
		own.remote.in6.sin6_port = htons(port);
	session->fd = socket(remote->remote.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (session->fd < 0)
		return -errno;
	if (bind(session->fd, &own.remote.sa, address_len(&own)) < 0 ||
	    connect(session->fd, &remote->remote.sa, address_len(remote)) < 0) {
		err = -errno;
		join_session_close(session);
		return err;
	}
	return 0;
}

void join_session_close(struct join_session *session)
{
	if (session->fd >= 0)
		close(session->fd);
	secret_wipe(session, sizeof(*session));
	session->fd = -1;
}

/* A datagram before @until_ns. Its length, -ETIMEDOUT. What the net says of the way is no answer. */
static ssize_t receive(const struct join_session *session, uint8_t *out, uint64_t until_ns)
{
	for (;;) {
		struct pollfd fd = { .fd = session->fd, .events = POLLIN };
		uint64_t now_ns = clock_ns(CLOCK_BOOTTIME);
		ssize_t n;

		if (now_ns >= until_ns)
			return -ETIMEDOUT;
		if (poll(&fd, 1, (int)((until_ns - now_ns) / 1000000 + 1)) < 0 && errno != EINTR)
			return -errno;
		n = recv(session->fd, out, DATAGRAM_MAX, MSG_DONTWAIT);
		if (n >= 0)
			return n;
	}
}

static int send_bytes(const struct join_session *session, const void *bytes, size_t len)
{
	/* A refusal of an earlier one is told by the next; it does not count. */
	if (send(session->fd, bytes, len, 0) >= 0 || errno == ECONNREFUSED)
		return 0;
	return -errno;
}

static int send_initiation(struct join_session *session)
{
	uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
	uint8_t ephemeral[KEY_SIZE], timestamp[TIMESTAMP_SIZE];
	struct message_initiation msg;
	enum noise_verdict verdict;
	uint32_t index;

	secret_generate_private(ephemeral);
	secret_random(&index, sizeof(index));
	noise_timestamp(timestamp, wall_ns / 1000000000u, (uint32_t)(wall_ns % 1000000000u));
	verdict = noise_create_initiation(&session->handshake, &session->identity, ephemeral,
	                                  timestamp, index, &msg);
	secret_wipe(ephemeral, sizeof(ephemeral));
	if (verdict != NOISE_OK)
		return -EINVAL;
	cookie_add_macs(&session->cookie, &msg, sizeof(msg), clock_ns(CLOCK_BOOTTIME));
	return send_bytes(session, &msg, sizeof(msg));
}

static bool take_response(struct join_session *session, const uint8_t *data, size_t len)
{
	struct message_response msg;

	if (len != sizeof(msg))
		return false;
	memcpy(&msg, data, sizeof(msg));
	return load_le32(msg.type.b) == MESSAGE_RESPONSE &&
	       load_le32(msg.receiver.b) == session->handshake.local_index &&
	       noise_consume_response(&session->handshake, &session->identity, &msg) == NOISE_OK &&
	       noise_derive_keypair(&session->handshake, &session->keypair,
	                            clock_ns(CLOCK_BOOTTIME)) == NOISE_OK;
}

static bool take_cookie(struct join_session *session, const uint8_t *data, size_t len)
{
	struct message_cookie_reply msg;

	if (len != sizeof(msg))
		return false;
	memcpy(&msg, data, sizeof(msg));
	return load_le32(msg.type.b) == MESSAGE_COOKIE_REPLY &&
	       cookie_consume_reply(&session->cookie, &msg, clock_ns(CLOCK_BOOTTIME));
}

int join_session_handshake(struct join_session *session)
{
	uint64_t until_ns = clock_ns(CLOCK_BOOTTIME) + JOIN_SESSION_TRY_MS * 1000000ull;
	uint8_t data[DATAGRAM_MAX];
	int err = send_initiation(session);

	while (!err) {
		ssize_t n = receive(session, data, until_ns);

		if (n < 0)
			return (int)n;
		if (take_response(session, data, (size_t)n)) {
			session->has_keypair = true;
			return 0;
		}
		/* The introducer is under load, and wants to see that this address is ours. */
		if (take_cookie(session, data, (size_t)n))
			err = send_initiation(session);
	}
	return err;
}

static int send_sealed(struct join_session *session, const uint8_t *plain, uint32_t len)
{
	uint8_t packet[sizeof(struct message_data) + POST_SIZE_MAX + AEAD_TAG_SIZE] = { 0 };
	struct session_op op = { .packet = packet, .len = wire_padded_len(len, POST_SIZE_MAX) };
	uint64_t counter;

	memcpy(packet + sizeof(struct message_data), plain, len);
	if (session_reserve(&session->keypair, 1, clock_ns(CLOCK_BOOTTIME), &counter) != SESSION_OK)
		return -ETIMEDOUT;
	session_seal_burst(&session->keypair, counter, &op, 1);
	return send_bytes(session, packet, op.len + MESSAGE_DATA_OVERHEAD);
}

/* The plaintext's length, 0: it is none of ours. */
static uint32_t open_sealed(struct join_session *session, uint8_t *data, size_t len)
{
	struct session_op op = { .packet = data };

	if (len < MESSAGE_DATA_OVERHEAD || load_le32(data) != MESSAGE_DATA ||
	    load_le32(data + offsetof(struct message_data, receiver)) !=
	            session->keypair.local_index)
		return 0;
	op.len = (uint32_t)(len - MESSAGE_DATA_OVERHEAD);
	return session_open_burst(&session->keypair, &op, 1) ? op.len : 0;
}

/* The introducer's hello comes as well, and is not for us. */
static bool is_reply(const uint8_t *plain, uint32_t len)
{
	return len >= sizeof(struct wire_control) && plain[0] == WIRE_CONTROL_FIRST &&
	       plain[offsetof(struct wire_control, type)] == WIRE_CONTROL_JOIN_REPLY;
}

int join_session_ask(struct join_session *session, const struct join_message *ask,
                     struct join_message *reply)
{
	uint8_t plain[POST_SIZE_MAX], data[DATAGRAM_MAX];
	uint32_t len = join_format(plain, ask);
	int err = len ? 0 : -EMSGSIZE;

	for (int i = 0; i < ASK_TRIES && !err; i++) {
		uint64_t until_ns = clock_ns(CLOCK_BOOTTIME) + JOIN_SESSION_TRY_MS * 1000000ull;

		err = send_sealed(session, plain, len);
		while (!err) {
			ssize_t n = receive(session, data, until_ns);

			if (n == -ETIMEDOUT)
				break;
			if (n < 0)
				return (int)n;
			uint32_t opened = open_sealed(session, data, (size_t)n);
			const uint8_t *message = data + sizeof(struct message_data);

			if (!is_reply(message, opened))
				continue;
			if (!join_parse(message, opened, reply))
				return -EBADMSG;
			if (join_answers(reply, ask))
				return 0;
		}
	}
	return err ? err : -ETIMEDOUT;
}
