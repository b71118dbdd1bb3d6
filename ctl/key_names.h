/* SPDX-License-Identifier: MIT */
/*
 * Which key files a configuration names. The helper reads no others for the daemon: who
 * has taken that over could else ask which files there are, one by one (verbs.c).
 */
#ifndef CTL_KEY_NAMES_H
#define CTL_KEY_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is none. */
struct key_names {
	char **paths; /* sorted */
	size_t count;
};

/*
 * Of the text that @fd has, of a file called @path; what @names had is forgotten. Whether
 * the daemon would take that text does not matter. 0 or -errno, none then.
 */
int key_names_read(struct key_names *names, int fd, const char *path);
bool key_names_has(const struct key_names *names, const char *path);
void key_names_clear(struct key_names *names);

#endif
