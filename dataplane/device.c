/* SPDX-License-Identifier: MIT */
#include "dataplane/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "crypto/secret.h"
#include "dataplane/peer.h"
#include "dataplane/post.h"

/* A session that is made anew needs its key pair before the last one's is given back. */
#define SPARE_KEYPAIRS 32

static uint64_t read_clock(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static uint64_t system_now(void *arg)
{
	(void)arg;
	return read_clock(CLOCK_BOOTTIME);
}

static uint64_t system_wall(void *arg)
{
	(void)arg;
	return read_clock(CLOCK_REALTIME);
}

static void system_random(void *arg, void *out, size_t len)
{
	(void)arg;
	secret_random(out, len);
}

const struct environment environment_system = { .now_ns = system_now,
	                                        .wall_ns = system_wall,
	                                        .random = system_random };

int device_open(struct device **out, const struct environment *env)
{
	struct device *device = calloc(1, sizeof(*device));
	struct view *view = view_create(0, 0), *empty = view_create(0, 0);
	uint8_t key[16];
	int err = -ENOMEM;

	if (!device || !view || !empty || view_finish(view, NULL, 0) || view_finish(empty, NULL, 0))
		goto out;
	device->limiter = calloc(1, sizeof(*device->limiter));
	if (!device->limiter)
		goto out;
	err = post_open(&device->post);
	if (err)
		goto out;
	err = stage_pool_init(&device->stage);
	if (err)
		goto out;
	device->env = env;
	device->boot = env->wall_ns(env->arg);
	env->random(env->arg, key, sizeof(key));
	limiter_init(device->limiter, key);
	quiesce_init(&device->quiesce);
	pthread_rwlock_init(&device->identity_lock, NULL);
	pthread_mutex_init(&device->admission_lock, NULL);
	arena_init(&device->peer_arena, sizeof(struct peer));
	arena_init(&device->keypair_arena, sizeof(struct peer_keypair));
	arena_keep_spare(&device->keypair_arena, SPARE_KEYPAIRS);
	index_init(&device->indices);
	timers_init(&device->timers);
	probes_init(&device->probes);
	atomic_init(&device->view, view);
	device->empty = empty;
	*out = device;
	return 0;
out:
	if (device) {
		post_close(device->post);
		free(device->limiter);
	}
	free(device);
	if (view)
		view_free(view);
	if (empty)
		view_free(empty);
	return err;
}

void device_close(struct device *device)
{
	struct view *view = atomic_load_explicit(&device->view, memory_order_relaxed);

	for (size_t i = 0; i < view->network_count; i++)
		for (size_t j = 0; j < view->networks[i].member_count; j++)
			member_retire(view->networks[i].members[j]);
	for (size_t i = 0; i < view->peer_count; i++) {
		peer_kill(view->peers[i]);
		peer_retire(view->peers[i]);
	}
	for (size_t i = 0; i < view->network_count; i++)
		network_retire(view->networks[i].network);
	quiesce_fini(&device->quiesce);
	view_free(view);
	if (device->empty)
		view_free(device->empty);
	arena_fini(&device->keypair_arena);
	arena_fini(&device->peer_arena);
	timers_fini(&device->timers);
	probes_fini(&device->probes);
	stage_pool_fini(&device->stage);
	post_close(device->post);
	pthread_mutex_destroy(&device->admission_lock);
	pthread_rwlock_destroy(&device->identity_lock);
	secret_wipe(device->limiter, sizeof(*device->limiter));
	free(device->limiter);
	secret_wipe(device, sizeof(*device));
	free(device);
}

void device_set_identity(struct device *device, const uint8_t *private_key)
{
	const struct view *view = atomic_load_explicit(&device->view, memory_order_relaxed);
	struct noise_identity identity;

	memset(&identity, 0, sizeof(identity));
	if (private_key)
		noise_identity_init(&identity, private_key);
	pthread_rwlock_wrlock(&device->identity_lock);
	if (secret_equal(&identity, &device->identity, sizeof(identity)))
		goto out;
	device->identity = identity;
	device->has_identity = private_key != NULL;
	pthread_mutex_lock(&device->admission_lock);
	cookie_checker_init(&device->checker, identity.public_key);
	pthread_mutex_unlock(&device->admission_lock);
	for (size_t i = 0; i < view->peer_count; i++) {
		struct peer *peer = view->peers[i];

		pthread_mutex_lock(&peer->lock);
		noise_handshake_rekey(&peer->handshake, private_key ? &device->identity : NULL);
		pthread_mutex_unlock(&peer->lock);
		/* What comes from here on is refused by tx.c. */
		if (!private_key)
			peer_drop_staged(peer, DROP_OUT_NO_KEY);
		/*
		 * In this order: an initiation that a worker opened with the old key
		 * is either consumed before, and its session ends here, or fails.
		 */
		peer_reset(peer);
	}
out:
	pthread_rwlock_unlock(&device->identity_lock);
	secret_wipe(&identity, sizeof(identity));
}
