/* SPDX-License-Identifier: MIT */
/*
 * Two hosts in memory for tests of announcements. Both have, beside the rig's own,
 * the bridged network 7, of which the other host and the third are members, and the
 * bridged network 9, of which the other host is.
 */
#ifndef TESTS_UNIT_ANNOUNCE_LAB_H
#define TESTS_UNIT_ANNOUNCE_LAB_H

#include <stdlib.h>
#include "unit/rig_test.h"
#include "dataplane/announce.h"
#include "dataplane/hello.h"

#define VNI       7
#define VNI_MORE  9
#define PORT      2
#define PORT_MORE 3

struct side {
	struct network *network, *more;
	struct member *other, *third, *other_in_more;
};

struct lab {
	struct rig *rig;
	struct side side[2];
	uint64_t seed;
	uint32_t loss; /* of 1000 control messages */
	uint32_t mtu; /* of the network 7, by publish() */
	bool detached, vlans; /* likewise */
};

#define NET(i)  (lab->side[i].network)
#define FDB(i)  (NET(i)->fdb)
#define HOST(i) (&lab->rig->host[i])
#define NEWS(i) (&lab->side[i].other->news)

/* ---- the network ---- */

static inline void add_gateway(struct view_network *net, const char *text)
{
	struct neigh_addr *addr = &net->gateways[net->gateway_count++];

	addr->family = rig_parse_addr(addr->addr, text) ? 6 : 4;
}

static inline void fill_bridged(struct lab *lab, unsigned int i, struct view_network *net,
                                enum guard_mode mode)
{
	struct side *side = &lab->side[i];

	*net = (struct view_network){ .network = side->network,
		                      .mode = NETWORK_BRIDGED,
		                      .vni = VNI,
		                      .attached = !lab->detached,
		                      .guards.mode = mode,
		                      .guards.vlans =
		                              lab->vlans ? GUARD_VLANS_ALL : GUARD_VLANS_NONE,
		                      .mtu = lab->mtu };
	memcpy(net->bridge_mac, RIG_BRIDGE_MAC, ETHER_ADDR_SIZE);
	net->members = calloc(2, sizeof(struct member *));
	net->gateways = calloc(2, sizeof(*net->gateways));
	assert_true(net->members && net->gateways);
	if (side->other)
		net->members[net->member_count++] = side->other;
	if (side->third)
		net->members[net->member_count++] = side->third;
	add_gateway(net, "10.7.0.1");
	add_gateway(net, "fd07::1");
}

static inline void fill_more(struct lab *lab, unsigned int i, struct view_network *net)
{
	*net = (struct view_network){ .network = lab->side[i].more,
		                      .mode = NETWORK_BRIDGED,
		                      .vni = VNI_MORE,
		                      .members = calloc(1, sizeof(struct member *)),
		                      .member_count = 1,
		                      .attached = true };
	assert_non_null(net->members);
	net->members[0] = lab->side[i].other_in_more;
}

static inline void publish(struct lab *lab, unsigned int i, enum guard_mode mode)
{
	struct rig_host *host = HOST(i);
	struct view *view = view_create(2, 4);
	struct prefix prefix;

	assert_non_null(view);
	assert_true(prefix_parse(&prefix, i ? "10.7.1.0/24" : "10.7.2.0/24"));
	view->peers[0] = host->peer;
	view->peers[1] = host->third;
	view->networks[0].network = host->net;
	view->networks[1].network = host->away;
	fill_bridged(lab, i, &view->networks[2], mode);
	fill_more(lab, i, &view->networks[3]);
	assert_int_equal(view_finish(view, &(struct route){ prefix, host->peer }, 1), 0);
	device_publish(host->device, view);
	quiesce_collect(&host->device->quiesce);
}

/* ---- what goes to and fro ---- */

static inline bool is_message(struct rig_host *host, const struct rig_record *sent,
                              struct announce_message *msg)
{
	uint8_t plain[2048];
	uint32_t len;

	return rig_unseal(host, sent, plain, &len) && announce_parse(plain, len, msg);
}

static inline bool is_control(struct rig_host *host, const struct rig_record *sent)
{
	uint8_t plain[2048];
	uint32_t len;

	return sent->len < sizeof(plain) && rig_unseal(host, sent, plain, &len) && len &&
	       plain[0] == WIRE_CONTROL_FIRST;
}

/* Hands over what both sent, until they are at rest; some of it is lost. */
static inline void pump(struct lab *lab)
{
	bool any;

	do {
		any = false;
		for (unsigned int i = 0; i < 2; i++) {
			struct rig_host *from = HOST(i), *to = HOST(!i);

			rig_round(from);
			for (unsigned int n = 0; n < from->sent_count; n++) {
				const struct rig_record *d = &from->sent[n];

				any = true;
				if (!endpoint_same_remote(&d->to, &to->address) ||
				    (lab->loss && is_control(from, d) &&
				     unit_random(&lab->seed) % 1000 < lab->loss))
					continue;
				rig_give_datagram(to, &from->address, d->data, d->len, 0, 0);
			}
			from->sent_count = 0;
			from->log_used = 0;
			from->frame_count = 0;
		}
	} while (any);
}

static inline void advance(struct lab *lab, uint64_t ns, uint64_t step_ns)
{
	for (uint64_t end = lab->rig->now_ns + ns; lab->rig->now_ns < end;) {
		lab->rig->now_ns += step_ns;
		pump(lab);
	}
}

static inline void say_hello(struct lab *lab, uint64_t boot)
{
	uint8_t out[HELLO_SIZE_MAX];
	struct hello_message msg = { .version = 1,
		                     .features = HELLO_FEATURES,
		                     .tunnel_mtu = 1420,
		                     .boot = boot,
		                     .ack = true,
		                     .vni_count = 1,
		                     .vnis = { VNI } };

	rig_tell(HOST(0), out, hello_format(out, &msg), 0);
}

/* Host 0 says it to host 1, which does what it does. */
static inline void say(struct lab *lab, const struct announce_message *msg)
{
	uint8_t out[2048];
	uint32_t len = announce_format(out, sizeof(out), msg);

	assert_int_not_equal(len, 0);
	rig_tell(HOST(0), out, len, 0);
}

static inline uint64_t events(const struct rig_host *host, enum event event)
{
	return stats_read(&host->device->stats.events[event]);
}

/* The @n-th message about stations among what the host sent. */
static inline bool message(struct rig_host *host, unsigned int n, struct announce_message *msg)
{
	for (unsigned int i = 0; i < host->sent_count; i++)
		if (is_message(host, &host->sent[i], msg) && n-- == 0)
			return true;
	return false;
}

static inline unsigned int messages(struct rig_host *host)
{
	struct announce_message msg;
	unsigned int n = 0;

	while (message(host, n, &msg))
		n++;
	return n;
}

static inline int open_lab(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	lab->rig = rig_open();
	lab->seed = 5;
	for (unsigned int i = 0; i < 2; i++) {
		struct side *side = &lab->side[i];

		side->network = network_create(HOST(i)->device, "seg", PORT, NETWORK_BRIDGED);
		side->more = network_create(HOST(i)->device, "more", PORT_MORE, NETWORK_BRIDGED);
		assert_true(side->network && side->more);
		side->other = member_create(side->network, HOST(i)->peer);
		side->third = member_create(side->network, HOST(i)->third);
		side->other_in_more = member_create(side->more, HOST(i)->peer);
		assert_true(side->other && side->third && side->other_in_more);
	}
	rig_connect(lab->rig, 0);
	for (unsigned int i = 0; i < 2; i++) {
		publish(lab, i, GUARD_LEARN);
		hello_changed(HOST(i)->peer);
	}
	pump(lab);
	/* Past all that is paced. */
	lab->rig->now_ns += RIG_SECOND;
	pump(lab);
	rig_mark(HOST(0));
	rig_mark(HOST(1));
	*state = lab;
	return 0;
}

static inline int close_lab(void **state)
{
	struct lab *lab = *state;

	for (unsigned int i = 0; i < 2; i++) {
		if (lab->side[i].other)
			member_retire(lab->side[i].other);
		member_retire(lab->side[i].third);
		member_retire(lab->side[i].other_in_more);
	}
	rig_close(lab->rig);
	free(lab);
	return 0;
}

#define lab_test(f) cmocka_unit_test_setup_teardown(f, open_lab, close_lab)

/* ---- stations ---- */

static inline struct fdb_key mac_key(uint32_t number)
{
	const uint8_t mac[ETHER_ADDR_SIZE] = { 0x02,
		                               0,
		                               (uint8_t)(number >> 24),
		                               (uint8_t)(number >> 16),
		                               (uint8_t)(number >> 8),
		                               (uint8_t)number };

	return fdb_key_mac(mac);
}

static inline struct fdb_key ip_key(const char *text)
{
	uint8_t addr[16];
	uint8_t family = rig_parse_addr(addr, text) ? 6 : 4;

	return fdb_key_ip(family, addr);
}

static inline enum fdb_verdict claim(struct lab *lab, unsigned int i, struct member *by,
                                     const struct fdb_key *key, const uint8_t *mac)
{
	struct fdb_question question;
	bool ask;

	return fdb_claim(FDB(i), by, key, mac, FDB_LEARNED, lab->rig->now_ns, &ask, &question);
}

/* A container of host @i, behind a port of its own. */
static inline void come(struct lab *lab, unsigned int i, const struct fdb_key *key,
                        const uint8_t *mac)
{
	struct fdb_key station = fdb_key_mac(mac);
	uint32_t port = 1 + (uint32_t)(mac[4] << 8 | mac[5]) % (FDB_PORT_BRIDGE - 1);
	enum fdb_verdict verdict =
		fdb_claim_port(FDB(i), &station, port, lab->rig->now_ns, lab->rig->now_ns);

	if (key->kind != FDB_MAC)
		verdict = claim(lab, i, &NET(i)->local, key, mac);
	assert_int_equal(verdict, FDB_CAME);
}

static inline void come_mac(struct lab *lab, unsigned int i, uint32_t number)
{
	struct fdb_key key = mac_key(number);

	come(lab, i, &key, key.addr);
}

static inline void go_mac(struct lab *lab, unsigned int i, uint32_t number)
{
	struct fdb_key key = mac_key(number);

	fdb_withdraw(FDB(i), &NET(i)->local, &key, lab->rig->now_ns);
}

static inline struct member *owner(struct lab *lab, unsigned int i, const struct fdb_key *key)
{
	struct fdb_place place;

	return fdb_lookup(FDB(i), key, lab->rig->now_ns, &place) ? place.owner : NULL;
}

static inline bool is_known(struct lab *lab, unsigned int i, uint32_t number)
{
	struct fdb_key key = mac_key(number);

	return owner(lab, i, &key) == lab->side[i].other;
}

/* What host 0 may say: news from @from to @to, of no station yet. */
static inline struct announce_message news(struct lab *lab, uint64_t from, uint64_t to)
{
	return (struct announce_message){ .type = ANNOUNCE_STATIONS,
		                          .vni = VNI,
		                          .boot = HOST(0)->device->boot,
		                          .has_range = true,
		                          .from = from,
		                          .to = to };
}

static inline void add(struct announce_message *msg, uint64_t sequence, struct fdb_key key,
                       const uint8_t *mac)
{
	struct fdb_news *n = &msg->stations[msg->count++];

	*n = (struct fdb_news){ .sequence = sequence, .key = key };
	memcpy(n->mac, mac ? mac : key.addr, ETHER_ADDR_SIZE);
}

#endif
