/* SPDX-License-Identifier: MIT */
/*
 * The roll: invitations that are open or used, hosts that came by introduction, and
 * who has been told of whom. Beside the configuration, which is its owner's file; what
 * the roll adds to it are peers like any other, and where the two contradict each other the file
 * is right.
 *
 * It is kept in a journal, NAME.journal in the state folder: one line for what
 * happened at once, written to the disk before it takes effect, so that a token is not used
 * twice whenever the daemon ends. What does not end in a whole line was not done. At a
 * start the journal is written anew, without what is over. The daemon that runs may not
 * make files (isolate.h), only write to this open one.
 *
 * A line is one of these, or several with "; " between them, and " #" with a checksum
 * (8 digits of BLAKE2s):
 *
 *	ovltun journal 2                       the first line, without one
 *	invite KEY PSK EXPIRES RANGE BITS      open
 *	spent KEY HOST                         used by the host of that key
 *	revoked KEY                            or forgotten
 *	host NUMBER KEY BY RANGE VNI ENDPOINT NAME   a host; BY: who introduced it, "-" we did
 *	gone KEY                               the host was removed
 *	told KEY NUMBER                        that member has been told of hosts up to it
 *	heard KEY NUMBER                       that introducer has told us up to it
 *
 * It holds no private key: who reads it cannot use an invitation.
 */
#ifndef CTL_ROLL_H
#define CTL_ROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/buffer.h"
#include "ctl/config.h"

#define ROLL_INVITES_MAX 64 /* open, or used or expired and not yet forgotten */
#define ROLL_HOSTS_MAX   1024
#define ROLL_JOURNAL_MAX (4u << 20) /* then nothing more is taken until the next start */
/* From there on it is not noted who was told, who then is told again: there has to be room for the rest. */
#define ROLL_TOLD_MAX (ROLL_JOURNAL_MAX / 2)
/* An invitation that has expired is still refused in words for so long. */
#define ROLL_GRACE_S 600

struct roll_invite {
	uint8_t key[KEY_SIZE]; /* the public one that follows from the token */
	uint8_t psk[KEY_SIZE];
	uint64_t expires_s;
	struct prefix range;
	uint8_t part_len;
	bool spent, revoked;
	uint8_t host[KEY_SIZE]; /* who used it */
	char name[CONFIG_NAME_MAX]; /* of its peer; follows from the key */
	uint64_t said_ns; /* when the log was last told of a refusal */
	uint64_t judged_ns; /* when a wish to join was last looked at */
};

struct roll_host {
	uint64_t number; /* grows with each; of the one who introduced it */
	uint8_t key[KEY_SIZE];
	bool ours; /* introduced by this host */
	uint8_t by[KEY_SIZE]; /* else who did */
	struct prefix range;
	uint32_t vni; /* not 0: member of that bridged network, and the range is no route */
	struct config_endpoint endpoint;
	char name[CONFIG_NAME_MAX]; /* may be empty */
	bool idle; /* the file contradicts it: not in force */
	bool was_idle; /* before roll_put_all() */
	bool filed; /* the file has it, too: who takes it out of there means it */
};

/* What a peer knows of us, or we of it; sorted by key. */
struct roll_mark {
	uint8_t key[KEY_SIZE];
	uint64_t told, heard;
	bool is_news; /* told was not written down yet */
	char *why_not; /* what it last introduced was refused; NULL: it was taken in. Since the start */
};

struct roll {
	int fd; /* -1: kept in memory alone */
	char path[512];
	const char *unkept; /* why, in a few words; NULL: it is kept */
	bool unopened; /* nothing asked for it at the start, and there was none */
	size_t written;
	struct roll_invite *invites;
	size_t invite_count;
	struct roll_host *hosts;
	size_t host_count;
	struct roll_mark *marks;
	size_t mark_count;
	uint64_t number; /* the last one given */
};

/*
 * Reads the journal of @name in @folder, which is made, if @wanted or if it is there.
 * What goes wrong is said in the log, and the roll is then one in memory alone, without
 * open invitations. NULL: out of memory. Before the daemon confines itself.
 */
struct roll *roll_open(const char *folder, const char *name, bool wanted);
void roll_close(struct roll *roll); /* takes NULL */

/*
 * A line of the above, which gets its checksum here; on the disk when it returns. 0 or -errno;
 * from the first error on the journal is not written any more. What is not kept at all is 0.
 */
int roll_write(struct roll *roll, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is on the disk is not so any more, and holds again from the next start on. */
bool roll_is_stale(const struct roll *roll);
/* The lines of these, to be written; false: too long. */
#define ROLL_LINE_MAX  768
#define ROLL_WRITE_MAX (3 * ROLL_LINE_MAX - 16) /* of what is written at once, its zero included */
bool roll_print_invite(const struct roll_invite *invite, char line[ROLL_LINE_MAX]);
bool roll_print_host(const struct roll_host *host, char line[ROLL_LINE_MAX]);

/*
 * What roll_open() reads and writes: the text of a journal, which is changed, into an empty
 * roll. 0, or the number of the line that is damaged. *@cut: the last one has no end, and was left
 * out.
 */
unsigned int roll_read(struct roll *roll, char *text, size_t len, bool *cut);
/* All that is not over, which is removed. */
void roll_print(struct roll *roll, uint64_t now_s, struct buffer *out);

/* Introducer = yes, this host's own or a peer's: who comes is to be kept. */
bool roll_is_wanted(const struct config *config);
/* The configuration has it, and the start had not: the journal can be opened by the next alone. */
bool roll_waits_for_start(const struct roll *roll, const struct config *config);

/* In memory. NULL: out of memory, or there are too many. Pointers last until the next one is added or removed. */
struct roll_invite *roll_add_invite(struct roll *roll, const struct roll_invite *invite);
struct roll_host *roll_add_host(struct roll *roll, const struct roll_host *host);
struct roll_mark *roll_mark(struct roll *roll, const uint8_t key[KEY_SIZE]);
/* NULL: there is none of that key. */
struct roll_mark *roll_find_mark(const struct roll *roll, const uint8_t key[KEY_SIZE]);
struct roll_invite *roll_find_invite(const struct roll *roll, const uint8_t key[KEY_SIZE]);
struct roll_host *roll_find_host(const struct roll *roll, const uint8_t key[KEY_SIZE]);
void roll_remove_invite(struct roll *roll, struct roll_invite *invite);
void roll_remove_host(struct roll *roll, struct roll_host *host);
/* The number of the next host that this one introduces. */
uint64_t roll_next_number(struct roll *roll, uint64_t wall_ns);

/* Adds one to @config, which has none of its key. 0 or -ENOMEM. */
int roll_put_invite(const struct roll_invite *invite, struct config *config);
int roll_put_host(const struct roll_host *host, struct config *config);
/*
 * Adds all that is not in @config and goes with it, to a file that was just read and
 * checked. @says: what does not go with it is told to the log. 0 or -ENOMEM.
 */
int roll_put_all(struct roll *roll, struct config *config, bool says);
/* After it: that configuration does not come into force. */
void roll_take_back(struct roll *roll);

/*
 * Who has some of @range already: an AllowedIPs, a Range, a host of the roll. A claim of a
 * whole Subnet is no host's. False: nobody.
 */
struct roll_scene {
	const struct roll *roll;
	const struct config *config;
	const struct config_subnets
		*subnets; /* each network's, as its bridge says; NULL: unknown */
};
struct roll_claim {
	struct prefix prefix;
	char whose[96]; /* "peer barge2's" */
};
bool roll_find_claim(const struct roll_scene *scene, const struct prefix *range,
                     struct roll_claim *claim);
/* All of them, in no order, are added to the list, which is the caller's to free. 0 or -ENOMEM. */
struct roll_claims {
	struct prefix *list;
	size_t count;
};
int roll_list_claims(const struct roll_scene *scene, const struct prefix *range,
                     struct roll_claims *claims);
int roll_add_claim(struct roll_claims *claims, const struct prefix *claimed);
/* "172.20.3.0/24 overlaps 172.20.0.0/16, which is peer barge2's" */
#define ROLL_CLAIM_TEXT 256
void roll_format_claim(const struct prefix *range, const struct roll_claim *claim,
                       char out[ROLL_CLAIM_TEXT]);

#endif
