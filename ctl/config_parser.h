/* SPDX-License-Identifier: MIT */
/*
 * What is known while peers.conf is read, for the two files that read it: config_key.c
 * says which keys there are and reads each into here, config.c does all the rest.
 */
#ifndef CTL_CONFIG_PARSER_H
#define CTL_CONFIG_PARSER_H

#include "ctl/config_private.h"

enum section {
	SECTION_NONE,
	SECTION_INTERFACE,
	SECTION_NETWORK,
	SECTION_PEER,
	SECTION_METRICS,
	SECTION_COUNT,
};

#define CONFIG_KEYS_MAX    64
#define CONFIG_OTHERS_MODE 077 /* of a file with secrets: nobody else may use it */

struct config_parser {
	const char *file;
	const struct config_options *options;
	struct config_error *error;
	struct config *config;
	unsigned int line;
	enum section section;
	unsigned int section_line;
	unsigned int interface_line; /* of [Interface]; 0: none yet */
	unsigned int metrics_line; /* likewise [Metrics] */
	/* Where this section's keys were given; 0: not yet. */
	unsigned int key_lines[CONFIG_KEYS_MAX];
	struct config_network *network; /* the open [Network] */
	struct config_peer draft; /* the open [Peer] */
	bool has_public_key;
	const char *secret_key; /* the first key that puts a secret into the file itself */
	unsigned int secret_line;
	struct slice kept; /* of the line: what counts */
	const uint8_t *filed_key; /* that the line's key file held, and the key to write it with */
	const char *filed_name;
	uint64_t warned; /* bits: numbers of wg-quick's keys that were warned about */
};

struct config_key {
	const char *name;
	enum section section;
	bool repeats; /* may be given several times */
	int (*read)(struct config_parser *parser, struct slice value); /* NULL: wg-quick's, or */
	int (*read_network)(const struct config_place *place, struct config_network *network,
	                    struct slice value);
};

#define config_parser_fail(parser, ...) \
	config_fail((parser)->error, (parser)->file, (parser)->line, __VA_ARGS__)

/* --- config_key.c --- */

extern const struct config_key config_keys[];
extern const size_t config_key_count; /* CONFIG_KEYS_MAX at the most */

#endif
