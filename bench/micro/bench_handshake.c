/* SPDX-License-Identifier: MIT */
/*
 * Handshakes a second that one core answers: initiations from the queue on, through
 * mac1, the first Diffie-Hellman, the peer's lookup, the response, the key pair and
 * its index, to the response in the burst. Beside it what X25519 alone would allow
 * (libsodium: one multiplication of the base point, three of others), and what it
 * costs to refuse a forged mac1, and under load to answer with a cookie.
 *
 * Rounds alternate between all of them; each figure is the median.
 *
 *    bench_handshake [ROUNDS]
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include "crypto/cookie.h"
#include "crypto/noise.h"
#include "crypto/secret.h"
#include "dataplane/burst.h"
#include "dataplane/handshake.h"
#include "micro.h"

enum { PEERS = 64, ROUNDS_MAX = 1001, PLAIN_DHS = 3 };

enum what { ANSWER, X25519, FORGED, COOKIE, WHATS };

static const char *const names[WHATS] = {
	[ANSWER] = "handshake answered",
	[X25519] = "its X25519 alone",
	[FORGED] = "forged mac1 refused",
	[COOKIE] = "cookie sent under load",
};

/* Who initiates. */
struct initiator {
	struct noise_identity identity;
	struct noise_handshake handshake;
	struct cookie_maker cookie;
	struct message_initiation msg;
};

static struct initiator initiators[PEERS];
static struct message_initiation messages[HANDSHAKE_QUEUE];
static struct device *device;
static struct quiesce_reader *reader;
static uint64_t clock_ns = 3600 * TIMERS_SECOND_NS;

/* The clock stands while a round runs, so that handshake_drain() takes its whole queue. */
static uint64_t env_now(void *arg)
{
	(void)arg;
	return clock_ns;
}

static void env_random(void *arg, void *out, size_t len)
{
	(void)arg;
	secret_random(out, len);
}

static const struct environment env = { .now_ns = env_now,
	                                .wall_ns = env_now,
	                                .random = env_random };

static void flush(struct burst *burst, void *arg)
{
	(void)arg;
	burst_reset(burst);
}

static struct burst *open_responder(void)
{
	struct view *view = view_create(PEERS, 0);
	uint8_t key[KEY_SIZE];
	struct burst *burst;

	must(view && device_open(&device, &env) == 0 &&
	     timers_reserve(&device->timers, PEERS) == 0);
	secret_generate_private(key);
	device_set_identity(device, key);
	for (unsigned int i = 0; i < PEERS; i++) {
		struct initiator *from = &initiators[i];

		secret_generate_private(key);
		noise_identity_init(&from->identity, key);
		noise_handshake_init(&from->handshake, &from->identity, device->identity.public_key,
		                     NULL);
		cookie_maker_init(&from->cookie, device->identity.public_key);
		view->peers[i] = peer_create(device, from->identity.public_key);
		must(view->peers[i] != NULL);
	}
	must(view_finish(view, NULL, 0) == 0);
	device_publish(device, view);
	reader = quiesce_add_reader(&device->quiesce);
	burst = burst_open(device);
	must(reader && burst);
	burst->view = view;
	burst->flush = flush;
	return burst;
}

/* A fresh initiation of each peer, and no rest of the last round. */
static void prepare(struct burst *burst)
{
	uint8_t ephemeral[KEY_SIZE], timestamp[TIMESTAMP_SIZE];

	burst_reset(burst);
	quiesce_pass(&device->quiesce, reader);
	quiesce_collect(&device->quiesce);
	clock_ns += 2 * TIMERS_SECOND_NS;
	burst->now_ns = clock_ns;
	noise_timestamp(timestamp, clock_ns / TIMERS_SECOND_NS, 0);
	for (unsigned int i = 0; i < PEERS; i++) {
		struct initiator *from = &initiators[i];

		secret_generate_private(ephemeral);
		must(noise_create_initiation(&from->handshake, &from->identity, ephemeral,
		                             timestamp, i, &from->msg) == NOISE_OK);
		cookie_add_macs(&from->cookie, &from->msg, sizeof(from->msg), clock_ns);
	}
}

/* @n messages through the queue. Nanoseconds each. */
static double drain(struct burst *burst, const struct message_initiation *msgs, unsigned int n)
{
	struct endpoint from;
	double start;

	must(endpoint_parse(&from, "10.10.10.101:12345") == 0);
	start = now_ns();
	for (unsigned int i = 0; i < n; i++)
		handshake_enqueue(burst, (const uint8_t *)&msgs[i], sizeof(msgs[i]), &from);
	must(!handshake_drain(burst));
	return (now_ns() - start) / n;
}

static double run_answer(struct burst *burst)
{
	uint64_t sent = burst->send_count;
	double took;

	for (unsigned int i = 0; i < PEERS; i++)
		messages[i] = initiators[i].msg;
	took = drain(burst, messages, PEERS);
	must(burst->send_count - sent == PEERS);
	return took;
}

static double run_x25519(void)
{
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE], shared[KEY_SIZE];
	double start;

	secret_generate_private(private_key);
	start = now_ns();
	for (unsigned int i = 0; i < PEERS; i++) {
		must(crypto_scalarmult_base(public_key, private_key) == 0);
		for (unsigned int dh = 0; dh < PLAIN_DHS; dh++)
			must(crypto_scalarmult(shared, private_key,
			                       initiators[i].identity.public_key) == 0);
	}
	return (now_ns() - start) / PEERS;
}

static double run_forged(struct burst *burst)
{
	uint64_t before = stats_read(&device->stats.drops[DROP_HANDSHAKE_MAC1]);
	double took;

	for (unsigned int i = 0; i < PEERS; i++) {
		messages[i] = initiators[i].msg;
		messages[i].macs.mac1[0] ^= 1;
	}
	took = drain(burst, messages, PEERS);
	must(stats_read(&device->stats.drops[DROP_HANDSHAKE_MAC1]) - before == PEERS);
	return took;
}

/* So many at once that each is answered by a cookie: the load outlasts the queue. */
static double run_cookie(struct burst *burst)
{
	const unsigned int n = HANDSHAKE_LOAD;
	uint64_t before = stats_read(&device->stats.events[EVENT_COOKIE_SENT]);
	double took;

	for (unsigned int i = 0; i < n; i++)
		messages[i] = initiators[i % PEERS].msg;
	took = drain(burst, messages, n);
	must(stats_read(&device->stats.events[EVENT_COOKIE_SENT]) - before == n);
	return took;
}

int main(int argc, char **argv)
{
	static double times[WHATS][ROUNDS_MAX];
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 51;
	struct burst *burst;
	double median[WHATS];

	must(rounds > 0 && rounds <= ROUNDS_MAX && secret_init() == 0 && aead_init() == 0);
	burst = open_responder();
	for (unsigned int r = 0; r < rounds; r++) {
		prepare(burst);
		times[ANSWER][r] = run_answer(burst);
		times[X25519][r] = run_x25519();
		times[FORGED][r] = run_forged(burst);
		times[COOKIE][r] = run_cookie(burst);
	}
	printf("one core, medians of %u alternated rounds of %u peers\n", rounds, PEERS);
	for (unsigned int i = 0; i < WHATS; i++) {
		median[i] = median_of(times[i], rounds);
		printf("  %-24s %8.2f us  %9.0f a second\n", names[i], median[i] / 1e3,
		       1e9 / median[i]);
	}
	printf("  a handshake takes %.2f of what its X25519 takes\n",
	       median[ANSWER] / median[X25519]);
	burst_close(burst);
	quiesce_remove_reader(&device->quiesce, reader);
	device_close(device);
	return 0;
}
