/* SPDX-License-Identifier: MIT */
/*
 * An addressing plan: a list of hosts, each with a part of one subnet, and the texts
 * that set each of them up. Nothing here touches a file (cmd_plan.c, plan_files.h do).
 *
 * The list, hosts.txt, has one host a line:
 *
 *     NAME ENDPOINT [RANGE] [PUBLICKEY]    # comment
 *
 * What was planned is kept in the same form with everything filled in (plan.txt), so
 * that a host keeps its range however the list is sorted, and its key even when the
 * private one has left this machine.
 */
#ifndef CTL_PLAN_H
#define CTL_PLAN_H

#include "ctl/buffer.h"
#include "ctl/config.h"

#define PLAN_PORT_DEFAULT  12345
#define PLAN_RANGE_DEFAULT 24
#define PLAN_RANGE_MAX     29 /* bits: the gateway and a few containers */
#define PLAN_HOSTS_MAX     1024
#define PLAN_LIST          "plan.txt"
#define PLAN_PICTURE       "mesh.dot"
#define PLAN_PICTURE_DRAWN "mesh.svg"
#define PLAN_KEY           "private.key"

struct plan_host {
	char name[CONFIG_NAME_MAX];
	struct config_endpoint endpoint;
	struct prefix range; /* of family 0: none yet */
	uint8_t public_key[KEY_SIZE];
	bool has_key;
	bool away; /* its private key is not on this machine: the host has it, or will make it */
	unsigned int line;
	unsigned int old_line; /* of plan.txt, which has the range; 0: hosts.txt, or new */
};

struct plan {
	char file[256];
	struct prefix subnet;
	uint8_t range_len; /* of those to be given, in bits */
	uint16_t port; /* of endpoints that have none */
	uint32_t vni; /* not 0: one bridged network, instead of a routed one */
	struct plan_host *hosts;
	size_t count;
};

/* What --subnet and --prefix may be: NULL, or what was expected. */
const char *plan_subnet_problem(const struct prefix *subnet);
const char *plan_range_problem(const struct plan *plan);
/*
 * Reads a list into @plan, whose subnet and port are set. 0, -EINVAL with @error filled,
 * -ENOMEM likewise; plan_fini() fits in any case. Refused: a name, an endpoint or a key
 * given twice, fixed ranges that overlap or lie outside the subnet.
 */
int plan_read(struct plan *plan, const char *text, size_t len, const char *file,
              struct config_error *error);
void plan_fini(struct plan *plan);
/*
 * A range for each host that has none: the one that it has in @old (NULL: nothing was
 * planned yet), else the first free one, beginning with the second of the subnet. Keys
 * that @old knows are taken over too. As plan_read().
 */
int plan_allocate(struct plan *plan, const struct plan *old, struct config_error *error);
/* After all keys are there: none twice. */
int plan_check_keys(const struct plan *plan, struct config_error *error);
const struct plan_host *plan_find(const struct plan *plan, const char *name);

/* --- plan_text.c: the texts; buffer->failed when one does not fit --- */

/* The first address that a host's bridge can have in its range. */
void plan_format_gateway(const struct plan_host *host, char out[PREFIX_TEXT_MAX]);
void plan_print_list(const struct plan *plan, struct buffer *out);
void plan_print_config(const struct plan *plan, const struct plan_host *host, struct buffer *out);
void plan_print_setup(const struct plan *plan, const struct plan_host *host, struct buffer *out);
void plan_print_picture(const struct plan *plan, struct buffer *out);

#endif
