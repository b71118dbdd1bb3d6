/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database's slow, obvious twin: one array, looked through from end to
 * end for everything, by the rules of fdb.h alone. Each call does what the call of fdb.h
 * of that name does, and says the same.
 *
 * To the twin a key is a number: the MACs first, then the addresses, which its user maps
 * to real ones. A member is a number too, TWIN_LOCAL this host.
 */
#ifndef TESTS_UNIT_FDB_TWIN_H
#define TESTS_UNIT_FDB_TWIN_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/fdb.h"

#define TWIN_MACS    8u
#define TWIN_ADDRS   16u
#define TWIN_KEYS    (TWIN_MACS + TWIN_ADDRS)
#define TWIN_MEMBERS 5
#define TWIN_LOCAL   0
#define TWIN_NOBODY  (-1)
#define TWIN_DUES    64

enum twin_list { TWIN_UNLISTED, TWIN_AGE, TWIN_ASK, TWIN_SLOW };

struct twin_station {
	int owner; /* TWIN_NOBODY: not there */
	unsigned int mac; /* the MAC's place in the array; a MAC's own */
	int source;
	uint64_t heard, due;
	enum twin_list list;
	/* When it was put there, counted: in its list, under its owner, under its MAC. */
	uint64_t listed, owned, placed;
	unsigned int asked;
	int claimant;
	unsigned int claim_mac;
	int claim_source;
	int askers[TWIN_MEMBERS]; /* the last first */
	int asker_count;
	uint64_t moves_from, hold_until;
	unsigned int recent, holds;
	uint32_t generation;
	unsigned int port, claim_port; /* a MAC's */
};

/*
 * The clock, the quota, and who has a session or is dead are the user's to set, at any
 * time between calls. The stations and the counts are the twin's, there to be read.
 */
struct twin {
	uint64_t clock_ns;
	uint32_t quota;
	bool sessions[TWIN_MEMBERS], dead[TWIN_MEMBERS];
	struct twin_station stations[TWIN_KEYS];
	struct fdb_counts counts;
};
extern struct twin twin;

/* As struct fdb_due. */
struct twin_due {
	int what;
	unsigned int key;
	int member;
};

static inline bool twin_is_mac(unsigned int key)
{
	return key < TWIN_MACS;
}

/* Nothing is there, the clock stands at an hour, and nobody but this host has a session. */
void twin_reset(uint32_t quota);

enum fdb_verdict twin_claim(int by, unsigned int key, unsigned int mac, int source, bool *ask);
/* The bridge has it behind that port, and heard of it then. */
enum fdb_verdict twin_claim_port(unsigned int mac, unsigned int port, uint64_t heard);
void twin_withdraw(int by, unsigned int key);
void twin_confirm(int by, unsigned int key);
enum fdb_check twin_check(int asker, unsigned int key);
/* What is to be asked about @key: a MAC of this host by its addresses in turn. */
unsigned int twin_question(unsigned int key);

void twin_forget_member(int member); /* fdb_forget() */
void twin_remove_member(int member);
void twin_begin_whole(int member);
void twin_end_whole(int member);

/* 0 or -errno, as of fdb.h. */
int twin_add_static(int owner, unsigned int key, unsigned int mac);
int twin_remove_static(unsigned int key);

/* All that is due, in order; @due has room for TWIN_DUES. Returns how many there are. */
unsigned int twin_tick(struct twin_due *due);

bool twin_is_known(unsigned int key);
/* Stations of @owner that count against its quota. */
unsigned int twin_count(int owner, bool macs);

#endif
