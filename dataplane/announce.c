/* SPDX-License-Identifier: MIT */
/*
 * Two halves. Telling: run_member() decides under the table's lock whether
 * something is due and takes it on itself, so that of several workers one sends;
 * what it sends is read from the log afterwards. Hearing: announce_receive().
 *
 * Nobody waits: what is due later is a time in struct member_news that any worker
 * may find. What a hostile member can make us send is paced: acknowledging less
 * than it had costs it a wait that doubles, a change of its hello a shorter one.
 */
#include "dataplane/announce.h"

#include <string.h>
#include "dataplane/burst.h"
#include "dataplane/handshake.h"
#include "dataplane/neigh.h"

#define DUES_MAX 16

static void call_by(struct burst *burst, uint64_t when_ns)
{
	if (when_ns < burst->announce_next_ns)
		burst->announce_next_ns = when_ns;
}

/* What fits into one message to @peer without being fragmented on the way. */
static uint32_t size_for(const struct view_network *net, const struct peer *peer)
{
	uint32_t size = ANNOUNCE_SIZE_MAX;
	uint32_t ours = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed);
	uint32_t theirs = atomic_load_explicit(&peer->hello.tunnel_mtu, memory_order_relaxed);

	if (ours < size)
		size = ours;
	if (theirs && theirs < size)
		size = theirs;
	if (net->mtu && net->mtu < size)
		size = net->mtu;
	return size & ~(uint32_t)(WIRE_PADDING - 1);
}

static void send_message(struct burst *burst, struct peer *peer, const struct announce_message *msg)
{
	uint8_t bytes[ANNOUNCE_SIZE_MAX];
	uint32_t len = announce_format(bytes, sizeof(bytes), msg);

	if (len && peer_send_keypair(peer, burst->now_ns))
		burst_add_packet(burst, peer, bytes, len, BURST_CONTROL);
}

/*
 * Another life of the member: it knows nothing of ours, and we nothing of its own.
 * @sent_ns stays, by which it is paced. Table's lock held.
 */
static void follow_boot(struct member *member)
{
	uint64_t boot = atomic_load_explicit(&member->peer->hello.boot, memory_order_relaxed);
	struct member_news *news = &member->news;

	if (news->boot == boot)
		return;
	*news = (struct member_news){ .boot = boot, .sent_ns = news->sent_ns, .begin = true };
}

/* ---- telling ---- */

/* How many of the stations fit beside what every message has. */
static uint32_t count_fitting(const struct announce_message *msg, uint32_t size)
{
	uint32_t used = sizeof(struct wire_control) + 5 * sizeof(struct wire_tlv) +
	                sizeof(struct be32) + 3 * sizeof(struct be64);

	for (uint32_t i = 0; i < msg->count; i++) {
		used += (uint32_t)sizeof(struct wire_tlv) +
		        announce_station_len(&msg->stations[i].key);
		if (used > size)
			return i;
	}
	return msg->count;
}

/* One message, of what follows @from. */
static void tell(struct burst *burst, const struct view_network *net, struct member *member,
                 uint64_t from, uint64_t whole)
{
	struct fdb *fdb = net->network->fdb;
	struct member_news *news = &member->news;
	struct announce_message msg;
	uint64_t last, was_whole = whole;
	uint32_t listed;

	memset(&msg, 0, offsetof(struct announce_message, stations));
	msg.type = ANNOUNCE_STATIONS;
	msg.vni = net->vni;
	msg.boot = burst->device->boot;
	msg.has_range = true;
	listed = fdb_list_news(fdb, from, msg.stations, ANNOUNCE_STATIONS_MAX, &whole, &last);
	msg.from = whole && whole != was_whole ? 0 : from;
	msg.count = listed;
	msg.count = count_fitting(&msg, size_for(net, member->peer));
	/* A full list may go on. One that is not ends with all, even if what was last is forgotten. */
	msg.to = last;
	if (msg.count && (msg.count < listed || listed == ANNOUNCE_STATIONS_MAX))
		msg.to = msg.stations[msg.count - 1].sequence;
	msg.end = msg.to == last;

	fdb_lock(fdb);
	/* Else it was answered or began anew meanwhile, and this is said once too often. */
	if (news->attempts && news->acked == from) {
		news->acked = msg.from;
		news->sent_to = msg.to;
		news->more = !msg.end;
		news->telling_whole = whole;
	}
	fdb_unlock(fdb);
	send_message(burst, member->peer, &msg);
	device_event(burst->device, EVENT_ANNOUNCED, 1);
}

/* When a message to the member is due. Table's lock held. */
static uint64_t find_due(const struct member_news *news, uint64_t last)
{
	if (news->attempts > ANNOUNCE_RETRIES)
		return UINT64_MAX;
	if (news->attempts)
		return news->sent_ns + (ANNOUNCE_RETRY_NS << (news->attempts - 1));
	if (news->begin)
		return news->sent_ns ? news->sent_ns + ANNOUNCE_RETRY_NS : 0;
	if (news->more)
		return 0;
	if (news->acked >= last)
		return UINT64_MAX;
	return news->sent_ns + ANNOUNCE_GATHER_NS;
}

/*
 * Asks the member to tell everything anew, if something that it was not granted may be
 * free by now, or returns when to look again. It may go unheard: so until it tells, it
 * is asked again, and what it says of changes meanwhile is not what we have to hear next.
 */
static uint64_t ask_again(struct burst *burst, const struct view_network *net,
                          struct member *member)
{
	struct fdb *fdb = net->network->fdb;
	struct member_news *news = &member->news;
	struct announce_message ack = { .type = ANNOUNCE_ACK, .vni = net->vni };
	uint64_t released = fdb_released(fdb), due_ns = UINT64_MAX, now_ns = burst->now_ns;

	fdb_lock(fdb);
	if (news->again_ns + (FDB_SECOND_NS << ANNOUNCE_AGAIN_MAX) <= now_ns)
		news->again = 0;
	if (news->lacks && !news->whole) {
		due_ns = now_ns + FDB_SECOND_NS;
		if (news->heard == 0 || released != news->released)
			due_ns = news->again_ns ? news->again_ns + (FDB_SECOND_NS << news->again)
			                        : 0;
	}
	if (due_ns <= now_ns) {
		ack.boot = news->boot;
		news->heard = 0;
		news->released = released;
		news->again_ns = now_ns;
		if (news->again < ANNOUNCE_AGAIN_MAX)
			news->again++;
		due_ns = now_ns + (FDB_SECOND_NS << news->again);
	}
	fdb_unlock(fdb);
	if (ack.boot)
		send_message(burst, member->peer, &ack);
	return due_ns;
}

/* Tells the member what is due, or returns when something will be. */
static uint64_t run_member(struct burst *burst, const struct view_network *net,
                           struct member *member)
{
	struct fdb *fdb = net->network->fdb;
	struct member_news *news = &member->news;
	struct peer *peer = member->peer;
	uint64_t now_ns = burst->now_ns, last = fdb_last_news(fdb);
	uint64_t due_ns, again_ns, from, whole;

	if (hello_has_vni(&peer->hello, net->vni, now_ns) != HELLO_YES ||
	    !peer_send_keypair(peer, now_ns) || size_for(net, peer) < ANNOUNCE_SIZE_MIN)
		return UINT64_MAX; /* announce_begin() will come */
	fdb_lock(fdb);
	follow_boot(member);
	due_ns = find_due(news, last);
	from = news->acked;
	whole = news->telling_whole;
	if (due_ns <= now_ns) {
		news->attempts++;
		news->sent_ns = now_ns;
	}
	fdb_unlock(fdb);
	again_ns = ask_again(burst, net, member);
	if (due_ns <= now_ns) {
		tell(burst, net, member, from, whole);
		fdb_lock(fdb);
		due_ns = find_due(news, last);
		fdb_unlock(fdb);
	}
	return due_ns < again_ns ? due_ns : again_ns;
}

void announce_begin(struct burst *burst, struct peer *peer)
{
	const struct view *view = burst->view;

	for (size_t i = 0; i < view->vni_count; i++) {
		struct member *member = view_find_member(view->by_vni[i], peer);
		struct fdb *fdb = view->by_vni[i]->network->fdb;

		if (!member)
			continue;
		fdb_lock(fdb);
		follow_boot(member);
		member->news.begin = true;
		member->news.attempts = 0;
		member->news.setbacks = 0;
		fdb_unlock(fdb);
	}
	call_by(burst, burst->now_ns);
}

/* ---- checks ---- */

/* The tags that a frame of that VLAN has; their size. */
static size_t make_tags(struct wire_vlan tags[WIRE_VLANS_MAX], const struct wire_vlans *vlans)
{
	size_t n = 0;

	for (; n < WIRE_VLANS_MAX && load_be16(vlans->tag[n].b); n++) {
		uint16_t tag = load_be16(vlans->tag[n].b);

		store_be16(tags[n].tpid.b,
		           tag & WIRE_VLANS_SERVICE ? ETHERTYPE_WIRE_QINQ : ETHERTYPE_WIRE_VLAN);
		store_be16(tags[n].tci.b, tag & WIRE_VLAN_ID);
	}
	return n * sizeof(*tags);
}

static void ask_container(struct burst *burst, const struct view_network *net,
                          const struct fdb_question *question)
{
	struct neigh_question ask = { .addr.family = question->key.kind };
	struct wire_vlan tags[WIRE_VLANS_MAX];
	uint8_t frame[NEIGH_FRAME_MAX];
	uint32_t len;

	if (question->key.kind == FDB_MAC || !net->attached)
		return;
	memcpy(ask.addr.addr, question->key.addr, sizeof(ask.addr.addr));
	memcpy(ask.mac, question->mac, ETHER_ADDR_SIZE);
	len = neigh_make_question(frame, net->network->router_mac, &ask);
	len = neigh_add_tags(frame, len, (const uint8_t *)tags,
	                     make_tags(tags, &question->key.vlans));
	burst_add_frame(burst, net->network, frame, len);
	device_event(burst->device, EVENT_PROBE_SENT, 1);
}

static struct fdb_news news_of(const struct fdb_key *key, const uint8_t *mac, bool gone)
{
	struct fdb_news news = { .key = *key, .gone = gone };

	memcpy(news.mac, key->kind == FDB_MAC ? key->addr : mac, ETHER_ADDR_SIZE);
	return news;
}

void announce_ask(struct burst *burst, const struct view_network *net,
                  const struct fdb_question *question)
{
	struct peer *peer = question->owner->peer;
	struct announce_message msg = { .type = ANNOUNCE_CHECK, .vni = net->vni, .count = 1 };

	if (!peer) {
		ask_container(burst, net, question);
		return;
	}
	/* The table asks again by when there is a session, if there will be one. */
	if (!peer_send_keypair(peer, burst->now_ns)) {
		handshake_want(burst, peer);
		return;
	}
	if (hello_has_vni(&peer->hello, net->vni, burst->now_ns) != HELLO_YES)
		return;
	msg.stations[0] = news_of(&question->key, question->mac, false);
	send_message(burst, peer, &msg);
	device_event(burst->device, EVENT_CHECK_SENT, 1);
}

/* Tells @asker whether a station is still here. */
static void answer_check(struct burst *burst, const struct view_network *net,
                         const struct member *asker, const struct fdb_key *key, bool gone)
{
	struct announce_message msg = {
		.type = ANNOUNCE_STATIONS, .vni = net->vni, .boot = burst->device->boot, .count = 1
	};
	struct fdb_place place = { 0 };

	if (!asker->peer)
		return;
	if (!fdb_lookup(net->network->fdb, key, burst->now_ns, &place))
		memset(&place, 0, sizeof(place));
	msg.stations[0] = news_of(key, place.mac, gone);
	send_message(burst, asker->peer, &msg);
	device_event(burst->device, EVENT_ANNOUNCED, 1);
}

static void receive_check(struct burst *burst, const struct view_network *net,
                          struct member *member, const struct announce_message *msg)
{
	const struct fdb_key *key = &msg->stations[0].key;
	struct fdb_question question;

	switch (fdb_check_local(net->network->fdb, key, member, burst->now_ns, &question)) {
	case FDB_CHECK_YES:
		answer_check(burst, net, member, key, false);
		break;
	case FDB_CHECK_NO:
		answer_check(burst, net, member, key, true);
		break;
	case FDB_CHECK_ASKED:
		announce_ask(burst, net, &question);
		break;
	}
}

uint64_t announce_run(struct burst *burst, const struct view_network *net)
{
	struct fdb *fdb = net->network->fdb;
	struct fdb_due dues[DUES_MAX];
	uint64_t earliest, next;
	unsigned int n;

	do {
		n = fdb_tick(fdb, burst->now_ns, dues, DUES_MAX, &earliest);
		for (unsigned int i = 0; i < n; i++) {
			const struct fdb_question *question = &dues[i].question;

			if (dues[i].what == FDB_DUE_ASK)
				announce_ask(burst, net, question);
			else
				answer_check(burst, net, question->owner, &question->key,
				             dues[i].what == FDB_DUE_SAY_NO);
		}
	} while (n == DUES_MAX);
	for (size_t i = 0; i < net->member_count; i++) {
		next = run_member(burst, net, net->members[i]);
		if (next < earliest)
			earliest = next;
	}
	return earliest;
}

void announce_run_due(struct burst *burst)
{
	const struct view *view = burst->view;
	/* A new view may have new members. */
	bool all =
		burst->now_ns >= burst->announce_next_ns || burst->announce_serial != view->serial;

	if (all)
		burst->announce_next_ns = UINT64_MAX;
	burst->announce_serial = view->serial;
	for (size_t i = 0; i < view->vni_count; i++) {
		const struct view_network *net = view->by_vni[i];
		uint64_t *seen = &burst->announce_seen[net->network->port];
		uint64_t last = fdb_last_news(net->network->fdb);

		if (!all && *seen == last && burst->now_ns < fdb_next(net->network->fdb))
			continue;
		*seen = last;
		call_by(burst, announce_run(burst, net));
	}
}

uint64_t announce_next(const struct burst *burst)
{
	const struct view *view = burst->view;
	uint64_t earliest = burst->announce_next_ns;

	for (size_t i = 0; i < view->vni_count; i++) {
		uint64_t next = fdb_next(view->by_vni[i]->network->fdb);

		if (next < earliest)
			earliest = next;
	}
	return earliest;
}

/* ---- hearing ---- */

static bool is_unicast_mac(const uint8_t *mac)
{
	static const uint8_t zero[ETHER_ADDR_SIZE];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}

static bool is_link_local(uint8_t family, const uint8_t *addr)
{
	if (family == 4)
		return addr[0] == 169 && addr[1] == 254;
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

/* What no member may have, whoever has it now; DROP_NONE: it may. */
static enum drop find_fault(const struct view *view, const struct view_network *net,
                            const struct member *member, const struct fdb_news *news)
{
	const uint8_t *mac = news->mac, *addr = news->key.addr;
	uint8_t family = news->key.kind;
	const struct packet pkt = { .family = family, .source = addr, .destination = addr };

	if (!is_unicast_mac(mac))
		return DROP_IN_SOURCE_MAC;
	if (view_is_bridge_mac(net, mac) ||
	    memcmp(mac, net->network->router_mac, ETHER_ADDR_SIZE) == 0)
		return DROP_IN_GATEWAY;
	if (family == FDB_MAC)
		return DROP_NONE;
	if (!guard_vlan_ok(&net->guards, &news->key.vlans))
		return DROP_IN_VLAN;
	if (guard_is_gateway(net, &news->key.vlans, family, addr))
		return DROP_IN_GATEWAY;
	if (packet_is_martian(&pkt))
		return DROP_IN_MARTIAN;
	if (net->guards.mode == GUARD_STRICT && !is_link_local(family, addr) &&
	    route_lookup(view->routes, family, addr) != member->peer)
		return DROP_IN_BINDING;
	return DROP_NONE;
}

struct review {
	const struct view *view;
	const struct view_network *net;
};

/* Where addresses are anyone's, nothing is to be known of them. */
static bool is_to_know(const struct view_network *net, const struct fdb_key *key)
{
	return key->kind == FDB_MAC || net->guards.mode != GUARD_OFF;
}

static bool may_have(const struct fdb_info *info, void *arg)
{
	const struct review *review = arg;
	const struct fdb_news news = news_of(&info->key, info->place.mac, false);

	return is_to_know(review->net, &info->key) &&
	       find_fault(review->view, review->net, info->place.owner, &news) == DROP_NONE;
}

void announce_review(const struct view *view, const struct view_network *net, uint64_t now_ns)
{
	struct review review = { view, net };

	fdb_review(net->network->fdb, may_have, &review, now_ns);
}

static enum drop drop_of(enum fdb_verdict verdict, uint8_t kind)
{
	switch (verdict) {
	case FDB_OK:
	case FDB_CAME:
	case FDB_MOVED:
	case FDB_CONTESTED: /* not yet: its owner is being asked */
		return DROP_NONE;
	case FDB_REFUSED:
		return kind == FDB_MAC ? DROP_IN_MAC_OWNED : DROP_IN_BINDING;
	case FDB_QUOTA:
		return DROP_IN_QUOTA;
	case FDB_BUSY:
		return DROP_IN_MOVES;
	}
	return DROP_NONE;
}

static void hear_station(struct burst *burst, const struct view_network *net, struct member *member,
                         const struct fdb_news *news)
{
	struct fdb *fdb = net->network->fdb;
	struct fdb_question question;
	enum fdb_verdict verdict;
	enum drop reason;
	bool ask = false;

	if (news->gone) {
		fdb_withdraw(fdb, member, &news->key, burst->now_ns);
		return;
	}
	if (!is_to_know(net, &news->key))
		return;
	reason = find_fault(burst->view, net, member, news);
	if (reason == DROP_NONE) {
		verdict = fdb_claim(fdb, member, &news->key, news->mac, FDB_ANNOUNCED,
		                    burst->now_ns, &ask, &question);
		reason = drop_of(verdict, news->key.kind);
		if (verdict == FDB_MOVED)
			device_event(burst->device, EVENT_STATION_MOVED, 1);
	}
	if (ask)
		announce_ask(burst, net, &question);
	if (reason != DROP_NONE)
		burst_drop(burst, member->peer, net->network, reason, 1);
}

enum turn {
	TURN_WHOLE, /* the beginning of everything */
	TURN_NEXT,
	TURN_SEEN, /* again: our acknowledgement was lost */
	TURN_GAP, /* something before it is missing */
	TURN_NONE, /* not of this life of the member */
};

/* Whose turn it is, and what we have heard when it has been; *@ends: a replacement does. */
static enum turn take_turn(struct fdb *fdb, struct member *member,
                           const struct announce_message *msg, uint64_t *heard, bool *ends)
{
	struct member_news *news = &member->news;
	enum turn turn = TURN_NONE;

	*ends = false;
	fdb_lock(fdb);
	follow_boot(member);
	if (msg->boot == 0 || msg->boot != news->boot)
		goto out;
	if (msg->from == 0)
		turn = TURN_WHOLE;
	else if (msg->from == news->heard)
		turn = TURN_NEXT;
	else
		turn = msg->to <= news->heard ? TURN_SEEN : TURN_GAP;
	if (turn == TURN_WHOLE || turn == TURN_NEXT) {
		news->heard = msg->to;
		*ends = msg->end && (turn == TURN_WHOLE || news->whole);
		news->whole = !*ends && (turn == TURN_WHOLE || news->whole);
	}
	if (turn == TURN_WHOLE)
		news->lacks = false;
	*heard = news->heard;
out:
	fdb_unlock(fdb);
	return turn;
}

static void receive_news(struct burst *burst, const struct view_network *net, struct member *member,
                         const struct announce_message *msg)
{
	struct fdb *fdb = net->network->fdb;
	struct announce_message ack = { .type = ANNOUNCE_ACK, .vni = msg->vni, .boot = msg->boot };
	enum turn turn;
	bool ends;

	turn = take_turn(fdb, member, msg, &ack.to, &ends);
	if (turn == TURN_GAP || turn == TURN_NONE)
		burst_drop(burst, member->peer, net->network, DROP_IN_ANNOUNCE, 1);
	if (turn == TURN_NONE)
		return;
	if (turn == TURN_WHOLE)
		fdb_begin_whole(fdb, member);
	for (uint32_t i = 0; i < msg->count && (turn == TURN_WHOLE || turn == TURN_NEXT); i++)
		hear_station(burst, net, member, &msg->stations[i]);
	if (ends)
		fdb_end_whole(fdb, member, burst->now_ns);
	send_message(burst, member->peer, &ack);
}

/* What a member says that it was asked for. */
static void receive_answer(struct burst *burst, const struct view_network *net,
                           struct member *member, const struct announce_message *msg)
{
	struct fdb *fdb = net->network->fdb;
	bool current;

	fdb_lock(fdb);
	follow_boot(member);
	current = msg->boot && msg->boot == member->news.boot;
	fdb_unlock(fdb);
	if (!current)
		burst_drop(burst, member->peer, net->network, DROP_IN_ANNOUNCE, 1);
	else if (msg->stations[0].gone)
		fdb_withdraw(fdb, member, &msg->stations[0].key, burst->now_ns);
	else
		fdb_confirm(fdb, member, &msg->stations[0].key, burst->now_ns);
}

/* What the member has now; false: that cannot be. Table's lock held. */
static bool follow_ack(struct member_news *news, uint64_t to)
{
	if (to < news->acked) {
		/* It lost what it had. Once after a hello that is to be expected. */
		news->acked = to;
		news->telling_whole = 0;
		if (news->begin) {
			news->attempts = 0;
			news->more = true;
		} else {
			news->attempts = news->setbacks < ANNOUNCE_RETRIES ? ++news->setbacks
			                                                   : ANNOUNCE_RETRIES;
		}
		news->begin = false;
		return true;
	}
	if (!news->attempts || to > news->sent_to)
		return to == news->acked; /* said twice */
	if (to == news->acked && to != news->sent_to)
		return true; /* an earlier one, and late */
	news->more |= to != news->sent_to;
	news->acked = to;
	news->attempts = 0;
	news->begin = false;
	if (!news->more)
		news->telling_whole = 0;
	return true;
}

static void receive_ack(struct burst *burst, const struct view_network *net, struct member *member,
                        const struct announce_message *msg)
{
	struct fdb *fdb = net->network->fdb;
	bool good;

	fdb_lock(fdb);
	follow_boot(member);
	good = msg->boot == burst->device->boot && follow_ack(&member->news, msg->to);
	fdb_unlock(fdb);
	if (good)
		call_by(burst, run_member(burst, net, member));
	else
		burst_drop(burst, member->peer, net->network, DROP_IN_ANNOUNCE, 1);
}

bool announce_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
{
	const struct view_network *net;
	struct announce_message msg;
	struct member *member;

	if (!announce_parse(data, len, &msg))
		return false;
	net = view_find_vni(burst->view, msg.vni);
	member = net ? view_find_member(net, peer) : NULL;
	if (!member) {
		burst_drop(burst, peer, net ? net->network : NULL, DROP_IN_VNI, 1);
		return true;
	}
	if (!bucket_take(&member->control_in, MEMBER_CONTROL_COST_NS, MEMBER_CONTROL_BURST,
	                 burst->now_ns)) {
		burst_drop(burst, peer, net->network, DROP_IN_ANNOUNCE, 1);
		return true;
	}
	switch (msg.type) {
	case ANNOUNCE_STATIONS:
		if (msg.has_range)
			receive_news(burst, net, member, &msg);
		else
			receive_answer(burst, net, member, &msg);
		break;
	case ANNOUNCE_ACK:
		receive_ack(burst, net, member, &msg);
		break;
	case ANNOUNCE_CHECK:
		receive_check(burst, net, member, &msg);
		break;
	}
	return true;
}
