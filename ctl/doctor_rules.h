/* SPDX-License-Identifier: MIT */
/*
 * Would the host's packet filter drop this packet, which begins something new? Rules
 * are had as nft's JSON; iptables' are brought into the same form. A rule is followed
 * as far as it is understood: what is not, "may" match, and no verdict rests on it.
 */
#ifndef CTL_DOCTOR_RULES_H
#define CTL_DOCTOR_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct rules_packet {
	const char *hook; /* "prerouting", "input", "forward", "output", "postrouting" */
	const char *family; /* the packet's own: "ip", "ip6" */
	bool frame; /* in the tables of family bridge, not in those of IP */
	const char *bridge; /* that a frame is on */
	const char *in, *out; /* devices; NULL: any */
	const char *protocol; /* "udp"; NULL: any */
	uint16_t dport; /* 0: any */
	const char *source, *destination; /* addresses; NULL: any */
};

struct rules_verdict {
	const char *hook; /* the packet's */
	const char *table_family, *table, *chain; /* point into the rules */
	json_int_t handle; /* of nft's rule; 0: the chain's policy */
	const char *tool; /* "iptables", or another of its names; empty: nft */
	const char *before; /* a chain for the administrator's own, asked earlier, or the same */
	char text[256]; /* "chain FORWARD of table ip filter: policy drop" */
};

/* An array as nft's; NULL: there is neither, or none may be asked. @why is half a line then. */
json_t *rules_read(const char **why);
/* True: certainly dropped. */
bool rules_drop(const json_t *rules, const struct rules_packet *packet,
                struct rules_verdict *verdict);
/* True: certainly given another source address. */
bool rules_masquerade(const json_t *rules, const struct rules_packet *packet,
                      struct rules_verdict *verdict);

#endif
