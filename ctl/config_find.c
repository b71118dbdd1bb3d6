/* SPDX-License-Identifier: MIT */
/* Peers by what people type: a name, a key, the beginning of a key. */
#include "ctl/config_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"

static struct config_peer *find_by_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (strcmp(config->peers[i].name, name) == 0)
			return &config->peers[i];
	return NULL;
}

static struct config_peer *find_by_key_start(const struct config *config, const char *text,
                                             size_t len, size_t *matches)
{
	struct config_peer *found = NULL;
	char base64[KEY_BASE64_LEN + 1];

	*matches = 0;
	for (size_t i = 0; i < config->peer_count; i++) {
		secret_to_base64(base64, config->peers[i].public_key);
		if (strncmp(base64, text, len) == 0) {
			found = &config->peers[i];
			(*matches)++;
		}
	}
	return found;
}

static void fail_unknown_peer(const struct config *config, const char *text,
                              struct config_error *error)
{
	const char *nearest = NULL;
	unsigned int least = UINT32_MAX;
	char quoted[CONFIG_QUOTE_MAX];

	for (size_t i = 0; i < config->peer_count; i++) {
		const char *name = config->peers[i].name;
		unsigned int distance = text_distance(text, name);

		if (name[0] && distance < least && text_is_near(text, name)) {
			least = distance;
			nearest = name;
		}
	}
	config_quote(slice_of(text), quoted);
	if (nearest)
		config_fail(error, "", 0, "no peer %s; did you mean \"%s\"?", quoted, nearest);
	else
		config_fail(error, "", 0, "no peer %s; expected a name or a public key", quoted);
}

struct config_peer *config_find_peer_text(const struct config *config, const char *text,
                                          struct config_error *error)
{
	size_t len = strlen(text), matches = 0;
	char quoted[CONFIG_QUOTE_MAX];
	struct config_peer *peer;
	uint8_t key[KEY_SIZE];

	peer = len > 0 ? find_by_name(config, text) : NULL;
	if (peer)
		return peer;
	if (secret_from_base64(key, text, len))
		peer = config_find_peer(config, key);
	else if (len >= CONFIG_KEY_START_MIN)
		peer = find_by_key_start(config, text, len, &matches);
	if (!peer) {
		fail_unknown_peer(config, text, error);
	} else if (matches > 1) {
		config_fail(error, "", 0, "%s is the beginning of %zu peers' keys: give more of it",
		            config_quote(slice_of(text), quoted), matches);
		peer = NULL;
	}
	return peer;
}

static int compare_names(const void *a, const void *b)
{
	const struct config_peer *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int config_names_init(struct config_names *names, const struct config *config)
{
	*names = (struct config_names){ .config = config };
	names->list = calloc(config->peer_count + 1, sizeof(*names->list));
	if (!names->list)
		return -ENOMEM;
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].name[0])
			names->list[names->count++] = &config->peers[i];
	qsort(names->list, names->count, sizeof(*names->list), compare_names);
	return 0;
}

void config_names_fini(struct config_names *names)
{
	free(names->list);
}

static int compare_to_name(const void *text, const void *peer)
{
	return strcmp(text, (*(const struct config_peer *const *)peer)->name);
}

const struct config_peer *config_names_find(const struct config_names *names, const char *text,
                                            struct config_error *error)
{
	const struct config_peer *const *named =
		bsearch(text, names->list, names->count, sizeof(*names->list), compare_to_name);
	const struct config_peer *peer;
	uint8_t key[KEY_SIZE];

	if (named)
		return *named;
	peer = secret_from_base64(key, text, strlen(text)) ? config_find_peer(names->config, key)
	                                                   : NULL;
	/* The beginning of a key, or nobody. */
	return peer ? peer : config_find_peer_text(names->config, text, error);
}
