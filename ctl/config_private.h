/* SPDX-License-Identifier: MIT */
/*
 * What the config_*.c files share. Each uses those before it alone:
 * config_value.c reads values, config_edit.c builds and changes the struct,
 * config_find.c looks for peers as people name them, config_bridged.c has what bridged
 * networks alone have, config_check.c holds the rules between the parts,
 * config_key.c reads the value of each key, config.c reads lines.
 */
#ifndef CTL_CONFIG_PRIVATE_H
#define CTL_CONFIG_PRIVATE_H

#include <limits.h>
#include "ctl/config.h"

/* A part of the text, not terminated. */
struct slice {
	const char *at;
	size_t len;
};

/* Always returns -EINVAL. */
int config_fail(struct config_error *error, const char *file, unsigned int line, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
int config_fail_memory(struct config_error *error, const char *file); /* -ENOMEM */

/* --- config_value.c --- */

#define CONFIG_QUOTE_MAX 80

/*
 * Text from the file for a message: unprintable bytes replaced, cut when long,
 * and masked when it could be a key, for people paste keys into wrong places.
 */
const char *config_quote(struct slice text, char out[CONFIG_QUOTE_MAX]);
struct slice slice_of(const char *text);
struct slice slice_trim(struct slice s);
bool slice_equals(struct slice s, const char *text); /* ignores case, as wg does */
/* Takes the part before @separator (or all) off @s. False: nothing was left. */
bool slice_split(struct slice *s, char separator, struct slice *part);
/* False: does not fit. */
bool slice_copy(struct slice s, char *out, size_t size);

bool config_parse_number(struct slice s, uint32_t max, uint32_t *value); /* decimal */
bool config_parse_fwmark(struct slice s, uint32_t *value); /* off, decimal, 0x… */
bool config_parse_prefix(struct slice s, struct prefix *prefix);
/* Nothing but addresses that a container can have. */
bool config_is_unicast(const struct prefix *prefix);
/*
 * The path of a file that the configuration called @file names: a relative one starts at its folder.
 * False: it is too long.
 */
bool config_file_path(const char *file, struct slice value, char out[PATH_MAX]);
/* NULL when valid, else what a name has to be. */
const char *config_name_problem(const char *name);
const char *config_bridge_problem(const char *bridge);

/* --- config_edit.c --- */

struct config *config_new(const char *file);
struct config_network *config_add_network(struct config *config);
/* Grows a list by one; @lines goes along. 0 or -ENOMEM. */
int config_append_prefix(struct prefix **list, unsigned int **lines, size_t *count,
                         const struct prefix *prefix, unsigned int line);
/* Likewise for a list of any kind: room for one more element of @size. NULL: out of memory. */
void *config_grow(void *list, size_t count, size_t size);
/* A network that is being read has its stations in the file's order until they are sorted. */
int config_append_station(struct config_network *network, const struct config_station *station);
void config_sort_stations(struct config_network *network);
int config_add_vni_at(struct config_peer *peer, uint32_t vni, unsigned int line);
int config_add_allowed_at(struct config_peer *peer, const struct prefix *prefix, unsigned int line);
/* A peer of lower index than @peer that claims @prefix too, and the line where; or NULL. */
const struct config_peer *config_find_earlier_claim(const struct config_peer *peer,
                                                    const struct prefix *prefix,
                                                    unsigned int *line);

/* --- config_find.c --- */

/* Peers in the order of their names, for who has many names to look up. */
struct config_names {
	const struct config *config;
	const struct config_peer **list;
	size_t count;
};

int config_names_init(struct config_names *names, const struct config *config); /* -ENOMEM */
void config_names_fini(struct config_names *names);
/* As config_find_peer_text(). */
const struct config_peer *config_names_find(const struct config_names *names, const char *text,
                                            struct config_error *error);

/* --- config_bridged.c --- */

/* Where a value stands. */
struct config_place {
	struct config_error *error;
	const char *file;
	const char *key;
	unsigned int line;
	unsigned int given; /* the line that gave this key before, in the same section; 0: none */
};

/* A value of [Network], or (VNIs) of [Peer], into the struct. 0, -EINVAL, -ENOMEM. */
int config_read_mode(const struct config_place *place, struct config_network *network,
                     struct slice value);
int config_read_vni(const struct config_place *place, struct config_network *network,
                    struct slice value);
int config_read_guard(const struct config_place *place, struct config_network *network,
                      struct slice value);
int config_read_vlans(const struct config_place *place, struct config_network *network,
                      struct slice value);
int config_read_routers(const struct config_place *place, struct config_network *network,
                        struct slice value);
int config_read_dhcp_servers(const struct config_place *place, struct config_network *network,
                             struct slice value);
int config_read_link_control(const struct config_place *place, struct config_network *network,
                             struct slice value);
int config_read_unknown(const struct config_place *place, struct config_network *network,
                        struct slice value);
int config_read_macs(const struct config_place *place, struct config_network *network,
                     struct slice value);
int config_read_host_routing(const struct config_place *place, struct config_network *network,
                             struct slice value);
int config_read_arp_check(const struct config_place *place, struct config_network *network,
                          struct slice value);
int config_read_station(const struct config_place *place, struct config_network *network,
                        struct slice value);
int config_read_vnis(const struct config_place *place, struct config_peer *peer,
                     struct slice value);
/* When the whole file was read: who is meant by the names in [Network]. */
int config_resolve_members(struct config *config, struct config_error *error);
/* Of config_check(): what concerns bridged networks. */
int config_check_bridged(const struct config *config, struct config_error *error);

/* --- config.c --- */

/* Reads pipes too: `ovlctl check <(…)`. The caller wipes and frees *@text, on errors too. */
int config_read_file(int fd, size_t size_hint, char **text, size_t *len);

#endif
