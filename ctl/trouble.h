/* SPDX-License-Identifier: MIT */
/*
 * What fails again and again as long as its cause lasts is said when it begins and when it
 * is over, and not more than once in ten seconds: the log is not what runs full of it.
 */
#ifndef CTL_TROUBLE_H
#define CTL_TROUBLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define TROUBLE_PAUSE_NS 10000000000ULL

/* All zero is none. */
struct trouble {
	uint64_t told_ns; /* 0: never */
	bool lasts;
};

/* It failed. True: that is to be said. */
static inline bool trouble_begins(struct trouble *trouble, uint64_t now_ns)
{
	if (trouble->lasts || (trouble->told_ns && now_ns - trouble->told_ns < TROUBLE_PAUSE_NS))
		return false;
	trouble->told_ns = now_ns;
	trouble->lasts = true;
	return true;
}

/* It worked. True: that it did not was said, and that it does again is news. */
static inline bool trouble_ends(struct trouble *trouble)
{
	bool lasted = trouble->lasts;

	trouble->lasts = false;
	return lasted;
}

/* Of descriptors or memory, which somebody else may give back. */
static inline bool trouble_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

#endif
