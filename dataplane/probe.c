/* SPDX-License-Identifier: MIT */
/*
 * Who asks: requests of our own, from the control thread's wish to the last word of the
 * peer's. The table is small and its lock is held for a look only; what goes out is made
 * behind it.
 */
#include "dataplane/probe.h"

#include <limits.h>
#include <string.h>
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/handshake.h"
#include "dataplane/peer.h"

/* Of a session that stays silent for so long a new one is asked for: the peer may have lost it. */
#define RENEW_NS 1000000000ULL

void probes_init(struct probes *probes)
{
	pthread_mutex_init(&probes->lock, NULL);
}

void probes_fini(struct probes *probes)
{
	pthread_mutex_destroy(&probes->lock);
}

static bool is_free(const struct probe_own *own)
{
	return own->phase == PROBE_FREE || own->told;
}

/* A free one, or the oldest of who has most, this one counted. */
static struct probe_own *take_slot(struct probes *probes, enum probe_asker asker)
{
	unsigned int counts[PROBE_ASKERS] = { 0 }, most = 0;
	struct probe_own *best = NULL;

	counts[asker]++;
	for (unsigned int i = 0; i < PROBE_OWN_MAX; i++)
		counts[probes->own[i].asker] += !is_free(&probes->own[i]);
	for (unsigned int i = 0; i < PROBE_OWN_MAX; i++) {
		struct probe_own *own = &probes->own[i];
		unsigned int rank = is_free(own) ? UINT_MAX : counts[own->asker];

		if (!best || rank > most || (rank == most && own->started_ns < best->started_ns)) {
			best = own;
			most = rank;
		}
	}
	return best;
}

/* As long as a message that carries the packet, as far as one message does. */
static uint32_t message_len(const struct peer *peer, const struct probe_packet *packet)
{
	uint32_t mtu = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed);
	uint32_t len = packet->len;

	if (packet->vni)
		len += (uint32_t)(sizeof(struct wire_vxlan) + sizeof(struct wire_ethernet));
	if (len < PROBE_SIZE_MIN)
		len = PROBE_SIZE_MIN;
	return len < mtu ? len : mtu;
}

/* From the destination to the source, as the peer would send it. */
static struct probe_packet turned(const struct probe_packet *packet)
{
	struct probe_packet back = *packet;

	memcpy(back.source, packet->destination, sizeof(back.source));
	memcpy(back.destination, packet->source, sizeof(back.destination));
	memcpy(back.source_mac, packet->destination_mac, ETHER_ADDR_SIZE);
	memcpy(back.destination_mac, packet->source_mac, ETHER_ADDR_SIZE);
	return back;
}

uint64_t probe_start(struct device *device, const struct probe_order *order)
{
	struct probe_own own = { .peer = order->peer,
		                 .asker = order->asker,
		                 .packet = order->packet,
		                 .message = message_len(order->peer, &order->packet),
		                 .phase = PROBE_SESSION,
		                 .started_ns = device_now(device),
		                 .wait_ns = order->wait_ns,
		                 .tries_here = order->here };

	while (!own.number)
		device->env->random(device->env->arg, &own.number, sizeof(own.number));
	/* A number that JSON's integers can tell. */
	own.number &= INT64_MAX;
	own.here = (struct probe_watch){ .peer = order->peer,
		                         .is_own = true,
		                         .number = own.number,
		                         .started_ns = own.started_ns,
		                         .packet = turned(&order->packet) };
	pthread_mutex_lock(&device->probes.lock);
	*take_slot(&device->probes, order->asker) = own;
	pthread_mutex_unlock(&device->probes.lock);
	timers_probe_at(order->peer, own.started_ns);
	return own.number;
}

static struct probe_own *find_own(struct probes *probes, uint64_t number)
{
	for (unsigned int i = 0; i < PROBE_OWN_MAX; i++)
		if (probes->own[i].phase != PROBE_FREE && probes->own[i].number == number)
			return &probes->own[i];
	return NULL;
}

static bool is_late(const struct probe_own *own, uint64_t now_ns)
{
	return own->answers ? now_ns >= own->first_ns + PROBE_PENDING_NS
	                    : now_ns >= own->started_ns + own->wait_ns;
}

bool probe_look(struct device *device, uint64_t number, struct probe_own *out)
{
	const uint64_t now_ns = device_now(device);
	struct probe_own *own;

	pthread_mutex_lock(&device->probes.lock);
	own = find_own(&device->probes, number);
	/* Nobody does it for a peer that was removed. */
	if (own && !probe_is_all_over(own) &&
	    now_ns >= own->started_ns + own->wait_ns + 2 * PROBE_PENDING_NS) {
		own->phase = probe_is_over(own) ? own->phase : PROBE_SILENT;
		own->tries_here = false;
	}
	if (own) {
		*out = *own;
		own->told = probe_is_all_over(own);
	}
	pthread_mutex_unlock(&device->probes.lock);
	return own;
}

/* What there is towards the peer; PROBE_SENT: all that a request needs. */
static enum probe_phase look_at_peer(const struct burst *burst, struct peer *peer)
{
	const struct hello *hello = &peer->hello;
	struct endpoint endpoint;
	bool usable;

	peer_get_endpoint(peer, &endpoint);
	if (!endpoint_is_set(&endpoint))
		return PROBE_NO_ENDPOINT;
	pthread_mutex_lock(&peer->lock);
	usable = peer->handshake.usable;
	pthread_mutex_unlock(&peer->lock);
	if (!usable)
		return PROBE_NO_KEY;
	if (!peer_send_keypair(peer, burst->now_ns))
		return PROBE_SESSION;
	if (hello_may_send(hello, WIRE_FEATURE_PROBE))
		return PROBE_SENT;
	if (atomic_load_explicit(&hello->version, memory_order_acquire))
		return hello_has_feature(hello, WIRE_FEATURE_PROBE) ? PROBE_HELLO : PROBE_TOO_OLD;
	return burst->now_ns >= atomic_load_explicit(&hello->settled_ns, memory_order_relaxed)
	               ? PROBE_STOCK
	               : PROBE_HELLO;
}

static enum probe_phase phase_of_late(const struct probe_own *own)
{
	if (own->phase == PROBE_SESSION)
		return PROBE_NO_SESSION;
	return own->phase == PROBE_HELLO ? PROBE_STOCK : PROBE_SILENT;
}

/* What is to be done for one: a request in @out, a session asked for, or its end. */
static uint32_t advance(struct burst *burst, struct peer *peer, struct probe_own *own, uint8_t *out,
                        bool *wants_session)
{
	const struct probe_message msg = { .type = WIRE_CONTROL_PROBE,
		                           .number = own->number,
		                           .packet = own->packet };
	enum probe_phase now = look_at_peer(burst, peer);

	if (probe_is_over(own))
		return 0;
	own->phase = now;
	if (probe_is_over(own))
		return 0;
	if (is_late(own, burst->now_ns)) {
		own->phase = phase_of_late(own);
		return 0;
	}
	if (now == PROBE_SESSION) {
		*wants_session = true;
		return 0;
	}
	if (now != PROBE_SENT)
		return 0;
	if (!own->answers && !own->asked_session && own->message <= PROBE_SIZE_MIN &&
	    own->requests && burst->now_ns >= own->started_ns + RENEW_NS) {
		own->asked_session = true;
		*wants_session = true;
	}
	if (burst->now_ns < own->sent_ns + PROBE_AGAIN_NS)
		return 0;
	own->sent_ns = burst->now_ns;
	own->requests++;
	return probe_format(out, own->message, &msg);
}

/* This end, ten times a second until the last word. */
static void try_here(struct burst *burst, struct peer *peer, struct probe_own *own)
{
	struct probes *probes = &burst->device->probes;
	struct probe_watch watch;
	struct probe_answer answer;
	bool wanted;

	pthread_mutex_lock(&probes->lock);
	wanted = own->phase != PROBE_FREE && own->peer == peer && own->tries_here &&
	         (!own->here_answer.stage || own->here_answer.flags & PROBE_PENDING);
	watch = own->here;
	pthread_mutex_unlock(&probes->lock);
	if (!wanted)
		return;
	probe_walk(burst, peer, &watch, watch.packet.len, &answer);
	pthread_mutex_lock(&probes->lock);
	if (own->number == watch.number) {
		watch.answered |= own->here.answered;
		own->here = watch;
		own->here_answer = answer;
	}
	pthread_mutex_unlock(&probes->lock);
}

void probe_due(struct burst *burst, struct peer *peer)
{
	struct probes *probes = &burst->device->probes;
	bool wants_session = false, goes_on = false;

	for (unsigned int i = 0; i < PROBE_OWN_MAX; i++) {
		struct probe_own *own = &probes->own[i];
		uint32_t len = 0;

		try_here(burst, peer, own);
		pthread_mutex_lock(&probes->lock);
		if (own->phase != PROBE_FREE && own->peer == peer) {
			/* Nothing else is in there while a timer runs. */
			len = advance(burst, peer, own, burst->staged, &wants_session);
			goes_on |= !probe_is_all_over(own);
		}
		pthread_mutex_unlock(&probes->lock);
		if (len)
			burst_add_packet(burst, peer, burst->staged, len, BURST_CONTROL);
	}
	if (wants_session)
		handshake_want(burst, peer);
	if (goes_on)
		timers_probe_at(peer, burst->now_ns + PROBE_AGAIN_NS / 4);
}

/* A reply: to the last request that has no answer, as far as one can tell. */
static void take_reply(struct burst *burst, const struct peer *peer,
                       const struct probe_message *msg)
{
	struct probes *probes = &burst->device->probes;
	struct probe_own *own;

	pthread_mutex_lock(&probes->lock);
	own = find_own(probes, msg->number);
	if (own && own->peer == peer && !probe_is_over(own) && own->requests) {
		if (!own->answers++) {
			own->first_ns = burst->now_ns;
			/* Of 0, which says that nothing is known, there is none. */
			own->round_trip_ns = peer_age_ns(burst->now_ns, own->sent_ns) + 1;
		}
		own->answer = msg->answer;
		if (!(msg->answer.flags & PROBE_PENDING))
			own->phase = PROBE_DONE;
	}
	pthread_mutex_unlock(&probes->lock);
}

/* ---- whom is asked ---- */

static unsigned int count_watches(const struct probes *probes, const struct peer *peer)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PROBE_WATCHES_MAX; i++)
		count += probes->watches[i].peer == peer;
	return count;
}

/*
 * What gives way to a new one of @peer's: its own if it has enough, else a free one, or the
 * oldest of the peer that has most, this one counted. So who has few keeps them, whatever
 * others do together.
 */
static struct probe_watch *choose_watch(struct probes *probes, const struct peer *peer)
{
	const unsigned int had = count_watches(probes, peer);
	struct probe_watch *best = NULL;
	unsigned int most = 0;

	for (unsigned int i = 0; i < PROBE_WATCHES_MAX; i++) {
		struct probe_watch *watch = &probes->watches[i];
		unsigned int rank = UINT_MAX;

		if (had >= PROBE_WATCHES_PEER && watch->peer != peer)
			continue;
		if (watch->peer == peer)
			rank = had + 1;
		else if (watch->peer)
			rank = count_watches(probes, watch->peer);
		if (!best || rank > most ||
		    (rank == most && watch->started_ns < best->started_ns)) {
			best = watch;
			most = rank;
		}
	}
	return best;
}

/* The walk so far of that request, or a new one. The lock is held. */
static struct probe_watch *find_watch(struct probes *probes, struct peer *peer,
                                      const struct probe_message *msg, uint64_t now_ns)
{
	struct probe_watch *watch;

	for (unsigned int i = 0; i < PROBE_WATCHES_MAX; i++) {
		watch = &probes->watches[i];
		if (watch->peer == peer && watch->number == msg->number)
			return watch;
	}
	watch = choose_watch(probes, peer);
	*watch = (struct probe_watch){
		.peer = peer, .number = msg->number, .started_ns = now_ns, .packet = msg->packet
	};
	return watch;
}

/* The greatest of the counters that tell of what the peer sent. */
static void add_drops(const struct peer *peer, struct probe_answer *answer)
{
	for (int reason = DROP_NONE + 1; reason < DROP_COUNT; reason++) {
		uint64_t count = stats_read(&peer->drops[reason]);
		uint32_t at = answer->drop_count;

		if (!count || (at == PROBE_COUNTERS_MAX && answer->drops[at - 1].count >= count))
			continue;
		if (at < PROBE_COUNTERS_MAX)
			answer->drop_count++;
		else
			at--;
		for (; at > 0 && answer->drops[at - 1].count < count; at--)
			answer->drops[at] = answer->drops[at - 1];
		answer->drops[at].count = count;
		strncpy(answer->drops[at].name, drop_name((enum drop)reason), PROBE_NAME_MAX - 1);
		answer->drops[at].name[PROBE_NAME_MAX - 1] = '\0';
	}
}

static void add_traffic(struct burst *burst, struct peer *peer, struct probe_answer *answer)
{
	struct peer_info info;

	peer_get_info(peer, burst->now_ns, &info);
	answer->tunnel_mtu = info.tunnel_mtu;
	answer->received = info.rx_packets;
	answer->lost = info.lost;
	answer->sent = info.tx_packets;
	add_drops(peer, answer);
}

static void answer(struct burst *burst, struct peer *peer, struct probe_message *msg, uint32_t len)
{
	struct probes *probes = &burst->device->probes;
	struct probe_watch watch, *kept;
	uint8_t out[PROBE_SIZE_MIN];
	uint32_t size = len < sizeof(out) ? len : sizeof(out);

	if (!bucket_take(&peer->probe_in, PROBE_COST_NS, PROBE_BURST, burst->now_ns) ||
	    !peer_send_keypair(peer, burst->now_ns))
		return;
	/* A copy: what the walk does may flush, and hear answers. */
	pthread_mutex_lock(&probes->lock);
	watch = *find_watch(probes, peer, msg, burst->now_ns);
	pthread_mutex_unlock(&probes->lock);
	probe_walk(burst, peer, &watch, len, &msg->answer);
	pthread_mutex_lock(&probes->lock);
	kept = find_watch(probes, peer, msg, burst->now_ns);
	watch.answered |= kept->answered; /* another worker heard it meanwhile */
	*kept = watch;
	pthread_mutex_unlock(&probes->lock);
	add_traffic(burst, peer, &msg->answer);
	msg->type = WIRE_CONTROL_PROBE_REPLY;
	size = probe_format(out, size, msg);
	/* Nothing would be a keepalive. */
	if (size)
		burst_add_packet(burst, peer, out, size, BURST_CONTROL);
}

bool probe_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
{
	struct probe_message msg;

	if (!hello_has_feature(&peer->hello, WIRE_FEATURE_PROBE))
		return true; /* it was not agreed upon: ignored, as what is not known */
	if (!probe_parse(data, len, &msg))
		return false;
	if (msg.type == WIRE_CONTROL_PROBE)
		answer(burst, peer, &msg, len);
	else
		take_reply(burst, peer, &msg);
	return true;
}
