/* SPDX-License-Identifier: MIT */
#include "ctl/state.h"

#include <stdio.h>

unsigned int state_queues(const struct state *state)
{
	return state->workers.count ? state->workers.count : 1;
}

uint64_t state_wall_ns(const struct state *state)
{
	const struct environment *env = state->device->env;

	return env->wall_ns(env->arg);
}

void state_label_peer(const struct config_peer *peer, char label[STATE_LABEL_MAX])
{
	char key[KEY_BASE64_LEN + 1];

	if (peer->name[0]) {
		(void)snprintf(label, STATE_LABEL_MAX, "%s", peer->name);
		return;
	}
	secret_to_base64(key, peer->public_key);
	(void)snprintf(label, STATE_LABEL_MAX, "%.10s…", key);
}
