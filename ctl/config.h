/* SPDX-License-Identifier: MIT */
/*
 * peers.conf: text in, an immutable struct out. No side effects but reading
 * PrivateKeyFile and PresharedKeyFile. Parsing is all or nothing: on an error
 * there is one message with file, line, the offending text and what was
 * expected.
 *
 * Run-time changes (ovlctl, wg) go the same way: copy the configuration, edit
 * the copy, check it, apply the difference. So one rule decides what is valid,
 * and one function (apply.h) brings it about.
 */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/secret.h"
#include "dataplane/endpoint.h"
#include "dataplane/fdb.h"
#include "dataplane/guard.h"
#include "dataplane/route.h"

#define CONFIG_NAME_MAX        64 /* of peers and networks, terminating zero included */
#define CONFIG_HOST_MAX        256
#define CONFIG_KEY_START_MIN   4 /* characters of a key that may stand for it */
#define CONFIG_NETWORKS_MAX    64
#define CONFIG_MTU_AUTO        0

#define CONFIG_MTU_MIN         576
#define CONFIG_MTU_MIN_IPV6    1280 /* RFC 8200 section 5 */
#define CONFIG_MTU_MAX         65455 /* a UDP datagram over IPv4 or IPv6 still holds it */

#define CONFIG_WORKERS_DEFAULT 1
#define CONFIG_WORKERS_MAX     16
#define CONFIG_BUSY_POLL_MAX   1000000 /* microseconds */

#define CONFIG_VNI_MAX         16777215U
#define CONFIG_STATIONS_MAX    4096 /* static entries of a network */
#define CONFIG_MACS_MAX        16384U /* a quarter of the FDB for one member */

/*
 * A peer as a [Network] names it. By its key, so that it stays the one it was when
 * peers are renamed at run time; who names one that has been removed names nobody.
 */
struct config_who {
	uint8_t key[KEY_SIZE];
	char text[CONFIG_NAME_MAX]; /* as it stands in the file */
	unsigned int line;
};

/* Members of a bridged network that may do something. */
struct config_members {
	bool all;
	bool local; /* this host's containers */
	struct config_who *peers; /* sorted by their keys */
	size_t count;
};

/* A static entry of a bridged network's FDB. */
struct config_station {
	struct fdb_key key;
	uint8_t mac[ETHER_ADDR_SIZE];
	bool local; /* this host has it, else @who */
	struct config_who who;
};

struct config_network {
	char name[CONFIG_NAME_MAX]; /* default: the bridge's name */
	char bridge[IFNAMSIZ];
	struct prefix *subnets; /* none: the bridge's own prefixes */
	size_t subnet_count;
	struct prefix *ranges; /* none: what no peer claims within the subnets */
	size_t range_count;
	uint32_t
		mtu; /* the tunnel's limit; CONFIG_MTU_AUTO: device towards the peer less overhead */

	bool bridged; /* with all that follows up to @line */
	uint32_t vni;
	struct guards guards; /* all but any_router and any_dhcp */
	struct config_members routers, dhcp_servers;
	uint32_t macs; /* a member's, at most */
	struct config_station *stations; /* sorted by their keys */
	size_t station_count;

	unsigned int line;
	/* Where each prefix stands in the file, for messages. */
	unsigned int *subnet_lines;
	unsigned int *range_lines;
	unsigned int name_line;
	unsigned int bridge_line;
	unsigned int mtu_line;
	unsigned int vni_line;
	const char *bridged_key; /* the first key given that bridged networks alone have, or NULL */
	unsigned int bridged_key_line;
};

/* A numeric endpoint is parsed; a name waits for the resolver. */
struct config_endpoint {
	char host[CONFIG_HOST_MAX]; /* empty: none */
	uint16_t port;
	bool numeric;
	struct endpoint address; /* when numeric */
};

struct config_peer {
	char name[CONFIG_NAME_MAX]; /* may be empty */
	uint8_t public_key[KEY_SIZE];
	uint8_t psk[KEY_SIZE]; /* all zero: none */
	struct config_endpoint endpoint;
	/* Grows whenever someone set the endpoint anew, so that setting the same
	 * value again takes a roamed peer back. */
	uint32_t endpoint_serial;
	uint16_t keepalive_s; /* 0: off */
	bool introducer; /* hosts that it introduces are taken */
	bool invited; /* made at run time: the key is an invitation's (roll.h) */
	struct prefix *allowed; /* in no particular order; no prefix twice */
	size_t allowed_count;
	uint32_t *vnis; /* of the bridged networks that it is a member of; none twice */
	size_t vni_count;
	unsigned int line;
	/* Where things stand in the file, for messages; 0: made at run time. */
	unsigned int *allowed_lines;
	unsigned int *vni_lines;
	unsigned int name_line;
	unsigned int key_line;
	unsigned int endpoint_line;
	struct config *owner;
};

struct buffer;
struct config_index;

/* AUTO: when there are more processors than workers. */
enum config_realtime { CONFIG_REALTIME_AUTO, CONFIG_REALTIME_NO, CONFIG_REALTIME_YES };

struct config {
	uint8_t private_key[KEY_SIZE];
	bool has_private_key;
	uint16_t listen_port; /* 0: the kernel chooses */
	uint32_t fwmark; /* 0: none */
	unsigned int workers; /* threads of the data path; in force from the next start on */
	enum config_realtime realtime; /* their priority */
	uint32_t busy_poll_us; /* how long they look for more before they sleep */
	bool introducer; /* this host may invite others */
	struct endpoint metrics; /* where they are served over HTTP; not set: nowhere */
	struct config_network *networks;
	size_t network_count;
	struct config_peer *peers;
	size_t peer_count;
	/* Private to config_edit.c, but for the file's name. */
	char file[256];
	size_t peer_capacity;
	struct config_index *index;
};

struct config_error {
	char file[256];
	unsigned int line; /* 0: not about a line */
	char text[512]; /* "unknown key "AllowedIP"; did you mean "AllowedIPs"?" */
};

/* "FILE:LINE: TEXT" as people and editors like it, in @out. */
void config_error_format(const struct config_error *error, char *out, size_t size);

/*
 * @bridge: of a configuration without [Network] (a stock wg file), or NULL.
 * @warn is called once for each of wg-quick's own keys met (Address, DNS, Table,
 * PreUp, …), which are ignored. -EINVAL with @error filled; -ENOMEM.
 * @any_file: config_load() may wait for a pipe or a terminal; a daemon must not,
 * and takes regular files alone. "-" is standard input then, and called so in errors.
 * @sent: config_load() puts there what another process is to parse in its place: the
 * same lines without comments, with keys where the file names files of them. A
 * [Network] may be missing then, as that process may have a @bridge.
 * @no_key_files: the text is such a one, and may name no file.
 * @files: how files are opened by who may not; NULL: as usual.
 */
#define CONFIG_STDIN      "-"
#define CONFIG_STDIN_NAME "standard input"
struct config_files_ops {
	int (*open)(void *arg, const char *path); /* the configuration, to read; or -errno */
	int (*read_key)(void *arg, const char *path, uint8_t key[KEY_SIZE]); /* as key_file.h */
};
struct config_options {
	const char *bridge;
	void (*warn)(void *arg, const struct config_error *warning);
	void *warn_arg;
	bool any_file;
	struct buffer *sent;
	bool no_key_files;
	const struct config_files_ops *files;
	void *files_arg;
};
int config_load(const char *path, const struct config_options *options, struct config **config,
                struct config_error *error);
int config_parse(const char *text, size_t len, const char *file,
                 const struct config_options *options, struct config **config,
                 struct config_error *error);

/*
 * All rules that hold between the parts (a peer that is oneself, names, prefixes
 * claimed twice, …). 0, -EINVAL with @error filled, -ENOMEM. A configuration
 * without a private key passes, since wg can take the key away at run time;
 * in a file it is an error.
 */
int config_check(const struct config *config, struct config_error *error);

struct config *config_copy(const struct config *config); /* NULL: out of memory */
void config_free(struct config *config); /* wipes keys */

/*
 * Edits of a copy. NULL or -ENOMEM when out of memory. Adding or removing a peer
 * may move the others: pointers to peers do not outlive it. Keys and AllowedIPs
 * are changed by these functions alone; they keep an index, so that each edit
 * costs the same however many peers there are.
 */
struct config_peer *config_find_peer(const struct config *config, const uint8_t key[KEY_SIZE]);
/*
 * By name, by whole key in base64 or by an unambiguous beginning of it
 * (CONFIG_KEY_START_MIN characters or more). NULL with @error (of no file and line) when there is none.
 */
struct config_peer *config_find_peer_text(const struct config *config, const char *text,
                                          struct config_error *error);
/* The peer of that key: the one there is, or a new one. */
struct config_peer *config_add_peer(struct config *config, const uint8_t key[KEY_SIZE]);
void config_remove_peer(struct config *config, struct config_peer *peer);
int config_peer_add_allowed(struct config_peer *peer, const struct prefix *prefix);
void config_peer_clear_allowed(struct config_peer *peer);
bool config_peer_remove_allowed(struct config_peer *peer, const struct prefix *prefix);
/* The peer that claims exactly @prefix, or NULL. */
struct config_peer *config_find_allowed(const struct config *config, const struct prefix *prefix);
/* What a network's subnets are: its own, or its bridge's. */
struct config_subnets {
	const struct prefix *list;
	size_t count;
};
struct config_claim {
	const struct config_peer *peer;
	size_t allowed; /* the place among its AllowedIPs */
	const struct prefix *subnet; /* that it covers */
};
/*
 * True: in a routed network each of @subnets of @family is within one peer's claim,
 * and no Range of the family says otherwise. Then nothing can live here, and the
 * network must not serve the family: it would take all addresses for remote ones,
 * its own containers' too, and answer for them. @claim: the first of them.
 */
bool config_is_claimed(const struct config *config, const struct config_network *network,
                       const struct config_subnets *subnets, uint8_t family,
                       struct config_claim *claim);
/* wg's rule: the prefix leaves whichever peer has it and joins @peer. */
int config_move_allowed(struct config *config, struct config_peer *peer,
                        const struct prefix *prefix);
bool config_peer_has_vni(const struct config_peer *peer, uint32_t vni);
int config_peer_add_vni(struct config_peer *peer, uint32_t vni); /* which it may have already */
void config_peer_clear_vnis(struct config_peer *peer);
int config_add_station(struct config_network *network, const struct config_station *station);
void config_remove_station(struct config_network *network, struct config_station *station);
/* NULL: there is none of that key. */
struct config_station *config_find_station(const struct config_network *network,
                                           const struct fdb_key *key);
/* "02:42:ac:11:00:02". Multicast and zero too: see config_mac_problem(). */
bool config_parse_mac(uint8_t mac[ETHER_ADDR_SIZE], const char *text);
/* NULL when a station may have it, else what a MAC has to be. */
const char *config_mac_problem(const uint8_t mac[ETHER_ADDR_SIZE]);
/*
 * An address as a station: "10.7.0.5", or in a VLAN "10.7.0.5@10", and behind two tags
 * "10.7.0.5@100.10", outer first; an "s" in front of a number: the tag is 802.1ad's.
 */
bool config_parse_address(struct fdb_key *key, const char *text);
/* The same back; and a MAC. */
void config_format_station(const struct fdb_key *key, char out[PREFIX_TEXT_MAX]);
/* What stands behind the "@" there; empty: no VLAN. */
#define CONFIG_VLANS_TEXT_MAX 16
void config_format_vlans(const struct wire_vlans *vlans, char out[CONFIG_VLANS_TEXT_MAX]);
/* "host:port", "1.2.3.4:port", "[v6]:port", "[v6%scope]:port". False: not one. */
bool config_parse_endpoint(struct config_endpoint *endpoint, const char *text);
void config_format_endpoint(const struct config_endpoint *endpoint, char *out, size_t size);

#endif
