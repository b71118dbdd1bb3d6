/* SPDX-License-Identifier: MIT */
/*
 * ovlctl doctor: what is wrong with this host, and why.
 *
 * A check is a function and a row of doctor_checks[] (doctor_checks.c). It looks at what
 * struct doctor holds, or at the host itself, and tells what it finds:
 *
 *	doctor_find(d, DOCTOR_ERROR, "the bridge %s is down", bridge);
 *	doctor_means(d, "no frame passes a bridge that is down");
 *	doctor_mend(d, "ip link set %s up", bridge);
 *
 * What mends is a command that can be typed as it stands, and heals (names that are not
 * this program's go through doctor_word()); what has to be thought about, or done
 * elsewhere, is advice (doctor_advise). Of findings alike (one format, one check) a few
 * are told and the others counted.
 *
 * One that finds nothing is reported as ok. What it may not see, a note says: no check
 * fails. The table's order is that of causes before effects, and of findings equally bad
 * the one of the earlier row is told first: a check of what can break others goes above
 * them.
 */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "ctl/config.h"
#include "ctl/host.h"

#define DOCTOR_FOLDER     "/etc/ovltun"
#define DOCTOR_USUAL_FILE DOCTOR_FOLDER "/peers.conf"
#define DOCTOR_KINDS      32 /* of findings that one check tells apart, at most */
/* Of words told; a command may have a path in it. */
#define DOCTOR_SENTENCE_MAX 8192

enum doctor_severity { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor {
	const char *path; /* of the configuration; NULL: none was given or found */
	char found_path[256];
	struct config *config; /* NULL: no file, or not one that can be read */
	struct config_error config_error; /* text empty: none */
	struct host *host;
	json_t *state; /* the reply to "show"; NULL: no daemon answers */
	json_t *before, *after; /* replies to "drops", a moment apart; NULL as above */
	json_t *last; /* the reply to "drops-last"; NULL as above */
	json_t *roll; /* the reply to "invite-list"; NULL as above */
	bool hasty; /* no check wants to know what rises: they are not looked at twice */
	bool several; /* daemons run here, and none was chosen */
	char silence[512]; /* why no daemon answers */
	/*
	 * As "show" has them (show.c): the daemon's own, or made of the file while none
	 * answers, without what only a daemon knows. Never NULL.
	 */
	json_t *networks, *peers;
	json_t *everyone; /* all peers, where @peers was made shorter */
	int listen_port; /* 0: not known */
	json_t *rules; /* of doctor_rules() */
	const char *rules_why;

	/* What trace knows and asks about; doctor_gather() leaves it. */
	const char *ends[2]; /* addresses: what concerns neither is let be; NULL: all does */
	bool silent; /* the peers do not answer, whatever they did a while ago */

	json_t *findings;
	json_t *words; /* of doctor_word() */
	const char *check; /* the one that runs */
	/* What it has found, by the format of the words. */
	struct {
		const char *format;
		size_t told;
		json_t *last; /* of these; borrowed */
	} alike[DOCTOR_KINDS];
	json_t *finding; /* the one told last; NULL: it was only counted */
};

struct doctor_check {
	const char *name;
	void (*run)(struct doctor *d);
};

extern const struct doctor_check doctor_checks[];
extern const size_t doctor_check_count;

void doctor_find(struct doctor *d, enum doctor_severity severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Of the finding told last. */
void doctor_means(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void doctor_mend(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void doctor_advise(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is found from now on is like nothing that was found before. */
void doctor_next_kind(struct doctor *d);

/* One word of a shell: quoted where it wants to be. Lasts until doctor_forget(). */
const char *doctor_word(struct doctor *d, const char *text);
/* Runs the checks of those names, NULL: all, and sorts what they find: the worst first. */
void doctor_run(struct doctor *d, const char *const *names);
enum doctor_severity doctor_severity(const json_t *finding);

/* doctor_facts.c: fills all but @path and what trace knows. */
void doctor_gather(struct doctor *d);
void doctor_forget(struct doctor *d);
/* The packet filter's (doctor_rules.h); NULL: not to be had, as @d->rules_why says. */
const json_t *doctor_rules(struct doctor *d);
/* Whether the prefix holds one of the ends, if there are such. */
bool doctor_concerns(const struct doctor *d, const struct prefix *prefix);

/* As "show" has it, without what only a daemon knows. */
json_t *doctor_peer_of_file(const struct config_peer *peer);

/* For checks. A peer's name, or its key. */
const char *doctor_peer_name(const json_t *peer);
bool doctor_is_bridged(const json_t *network);
/* "192.0.2.1:12345", "[fd00::1%eth0]:12345" in its two parts. False: not numeric. */
#define DOCTOR_ADDRESS_MAX 80
bool doctor_split(const char *endpoint, char address[DOCTOR_ADDRESS_MAX], int *port);
/* Where the peer is, as far as known: found by the daemon, or else as configured. */
const char *doctor_endpoint(const json_t *peer);
/* Of a JSON list of prefixes, the first that holds the whole of @inner; NULL: none. */
const char *doctor_covering(const json_t *prefixes, const struct prefix *inner);
/* How often a reason was counted, and by how much it rose while doctor looked. */
json_int_t doctor_drops(const struct doctor *d, const char *reason);
json_int_t doctor_rise(const struct doctor *d, const char *reason);
/* In a reply to "drops": the device's, or the networks' where it has none ("tap-queue"). */
json_int_t doctor_count(const json_t *drops, const char *reason);
/* Of a reply to "drops-last", the item of that reason. NULL: not known. */
const json_t *doctor_last(const struct doctor *d, const char *reason);
/* Of the peers, the one that the reason was counted for most often; NULL: no peer. */
const char *doctor_culprit(const struct doctor *d, const char *reason);
/* doctor_drops.c: whether there is anything in it that is worth a second look. */
bool doctor_tells(const json_t *drops);

/* doctor_duplicates.c, a part of the addresses' check */
void doctor_check_duplicates(struct doctor *d);

/* The checks, in their files */
void doctor_check_keys(struct doctor *d);
void doctor_check_config(struct doctor *d);
void doctor_check_clock(struct doctor *d);
void doctor_check_kernel(struct doctor *d);
void doctor_check_port(struct doctor *d);
void doctor_check_daemon(struct doctor *d);
void doctor_check_bridges(struct doctor *d);
void doctor_check_overlaps(struct doctor *d);
void doctor_check_addresses(struct doctor *d);
void doctor_check_mtu(struct doctor *d);
void doctor_check_forward(struct doctor *d);
void doctor_check_nat(struct doctor *d);
void doctor_check_firewall(struct doctor *d);
void doctor_check_endpoints(struct doctor *d);
void doctor_check_handshakes(struct doctor *d);
void doctor_check_members(struct doctor *d);
void doctor_check_allowed(struct doctor *d);
void doctor_check_drops(struct doctor *d);

#endif
