/* SPDX-License-Identifier: MIT */
#include "ctl/roll.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/config_private.h"
#include "ctl/log.h"

#define INVITE_NAME "invite-"

/* --- memory --- */

static int compare_marks(const void *a, const void *b)
{
	const struct roll_mark *x = a, *y = b;

	return memcmp(x->key, y->key, KEY_SIZE);
}

struct roll_mark *roll_find_mark(const struct roll *roll, const uint8_t key[KEY_SIZE])
{
	struct roll_mark wanted;

	if (!roll->mark_count)
		return NULL;
	memcpy(wanted.key, key, KEY_SIZE);
	return bsearch(&wanted, roll->marks, roll->mark_count, sizeof(wanted), compare_marks);
}

struct roll_mark *roll_mark(struct roll *roll, const uint8_t key[KEY_SIZE])
{
	struct roll_mark wanted = { .told = 0 }, *list = roll_find_mark(roll, key);
	size_t at = roll->mark_count;

	if (list)
		return list;
	memcpy(wanted.key, key, KEY_SIZE);
	list = config_grow(roll->marks, roll->mark_count, sizeof(*list));
	if (!list)
		return NULL;
	roll->marks = list;
	for (; at > 0 && compare_marks(&list[at - 1], &wanted) > 0; at--)
		list[at] = list[at - 1];
	list[at] = wanted;
	roll->mark_count++;
	return &list[at];
}

struct roll_invite *roll_find_invite(const struct roll *roll, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < roll->invite_count; i++)
		if (memcmp(roll->invites[i].key, key, KEY_SIZE) == 0)
			return &roll->invites[i];
	return NULL;
}

struct roll_host *roll_find_host(const struct roll *roll, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < roll->host_count; i++)
		if (memcmp(roll->hosts[i].key, key, KEY_SIZE) == 0)
			return &roll->hosts[i];
	return NULL;
}

/* A peer's name that people can tell from others, and revoke it by. */
static void name_invite(struct roll_invite *invite)
{
	char hex[KEY_HEX_LEN + 1];

	secret_to_hex(hex, invite->key);
	(void)snprintf(invite->name, sizeof(invite->name), INVITE_NAME "%.8s", hex);
}

struct roll_invite *roll_add_invite(struct roll *roll, const struct roll_invite *invite)
{
	struct roll_invite *list;

	if (roll->invite_count == ROLL_INVITES_MAX)
		return NULL;
	list = config_grow(roll->invites, roll->invite_count, sizeof(*list));
	if (!list)
		return NULL;
	roll->invites = list;
	list += roll->invite_count++;
	*list = *invite;
	name_invite(list);
	return list;
}

struct roll_host *roll_add_host(struct roll *roll, const struct roll_host *host)
{
	struct roll_host *list;

	if (roll->host_count == ROLL_HOSTS_MAX)
		return NULL;
	list = config_grow(roll->hosts, roll->host_count, sizeof(*list));
	if (!list)
		return NULL;
	roll->hosts = list;
	list += roll->host_count++;
	*list = *host;
	if (host->ours && host->number > roll->number)
		roll->number = host->number;
	return list;
}

void roll_remove_invite(struct roll *roll, struct roll_invite *invite)
{
	struct roll_invite *last = &roll->invites[--roll->invite_count];

	if (invite != last)
		*invite = *last;
	secret_wipe(last, sizeof(*last));
}

/* Their order is that of their numbers. */
void roll_remove_host(struct roll *roll, struct roll_host *host)
{
	size_t behind = (size_t)(roll->hosts + --roll->host_count - host);

	memmove(host, host + 1, behind * sizeof(*host));
}

uint64_t roll_next_number(struct roll *roll, uint64_t wall_ns)
{
	/* Greater than what a journal that was lost gave, wherever clocks go forward. */
	roll->number = wall_ns > roll->number ? wall_ns : roll->number + 1;
	return roll->number;
}

void roll_close(struct roll *roll)
{
	if (!roll)
		return;
	if (roll->fd >= 0)
		close(roll->fd);
	if (roll->invites)
		secret_wipe(roll->invites, roll->invite_count * sizeof(*roll->invites));
	free(roll->invites);
	free(roll->hosts);
	for (size_t i = 0; i < roll->mark_count; i++)
		free(roll->marks[i].why_not);
	free(roll->marks);
	free(roll);
}

/* --- into a configuration --- */

/* Names are for people: one that is another's is left out. */
static bool has_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (strcmp(config->peers[i].name, name) == 0)
			return true;
	return false;
}

int roll_put_invite(const struct roll_invite *invite, struct config *config)
{
	struct config_peer *peer = config_add_peer(config, invite->key);

	if (!peer)
		return -ENOMEM;
	peer->invited = true;
	memcpy(peer->psk, invite->psk, KEY_SIZE);
	memcpy(peer->name, invite->name, sizeof(peer->name));
	return 0;
}

int roll_put_host(const struct roll_host *host, struct config *config)
{
	bool name_free = host->name[0] && !has_name(config, host->name);
	struct config_peer *peer = config_add_peer(config, host->key);

	if (!peer)
		return -ENOMEM;
	if (name_free)
		memcpy(peer->name, host->name, sizeof(peer->name));
	peer->endpoint = host->endpoint;
	return host->vni ? config_peer_add_vni(peer, host->vni)
	                 : config_peer_add_allowed(peer, &host->range);
}

static void say_idle(const struct roll_host *host, const char *why)
{
	char range[PREFIX_TEXT_MAX], key[KEY_BASE64_LEN + 1];

	prefix_format(&host->range, range);
	secret_to_base64(key, host->key);
	log_line("peer %s, which was introduced with %s, is left out: %s",
	         host->name[0] ? host->name : key, range, why);
}

struct put {
	bool says;
	bool checks; /* what the whole configuration says of it, too; takes time with many */
};

static int put_host(struct roll *roll, struct roll_host *host, struct config *config,
                    struct put how)
{
	struct config_error error = { .line = 0 };
	char why[ROLL_CLAIM_TEXT];
	struct roll_claim claim;
	int err;

	if (host->filed || config_find_peer(config, host->key))
		return 0;
	host->idle = true; /* not among those that are in the way */
	if (roll_find_claim(&(struct roll_scene){ roll, config, NULL }, &host->range, &claim)) {
		roll_format_claim(&host->range, &claim, why);
		if (how.says)
			say_idle(host, why);
		return 0;
	}
	err = roll_put_host(host, config);
	if (err)
		return err;
	host->idle = false;
	err = how.checks ? config_check(config, &error) : 0;
	if (err == -EINVAL) {
		if (how.says)
			say_idle(host, error.text);
		config_remove_peer(config, config_find_peer(config, host->key));
		host->idle = true;
		err = 0;
	}
	return err;
}

static void take_out(struct roll *roll, struct config *config, const bool *was_there)
{
	for (size_t i = 0; i < roll->host_count; i++) {
		struct config_peer *peer = config_find_peer(config, roll->hosts[i].key);

		if (peer && !was_there[i])
			config_remove_peer(config, peer);
	}
}

static int put_hosts(struct roll *roll, struct config *config, bool says)
{
	struct config_error error;
	bool *was_there = calloc(roll->host_count + 1, sizeof(*was_there));
	int err = was_there ? 0 : -ENOMEM;

	for (size_t i = 0; i < roll->host_count && !err; i++) {
		was_there[i] = config_find_peer(config, roll->hosts[i].key) != NULL;
		err = put_host(roll, &roll->hosts[i], config, (struct put){ .says = says });
	}
	if (!err && roll->host_count)
		err = config_check(config, &error);
	if (err == -EINVAL) {
		/* One of them does not go with the rest: which is it? */
		take_out(roll, config, was_there);
		err = 0;
		for (size_t i = 0; i < roll->host_count && !err; i++)
			err = put_host(roll, &roll->hosts[i], config,
			               (struct put){ .says = says, .checks = true });
	}
	free(was_there);
	return err;
}

int roll_put_all(struct roll *roll, struct config *config, bool says)
{
	int err;

	for (size_t i = 0; i < roll->host_count; i++)
		roll->hosts[i].was_idle = roll->hosts[i].idle;
	err = put_hosts(roll, config, says);
	for (size_t i = 0; i < roll->invite_count && config->introducer && !err; i++)
		if (!roll->invites[i].revoked && !config_find_peer(config, roll->invites[i].key))
			err = roll_put_invite(&roll->invites[i], config);
	return err;
}

void roll_take_back(struct roll *roll)
{
	for (size_t i = 0; i < roll->host_count; i++)
		roll->hosts[i].idle = roll->hosts[i].was_idle;
}
