/* SPDX-License-Identifier: MIT */
#include "dataplane/post.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/handshake.h"
#include "dataplane/peer.h"

struct post {
	pthread_mutex_t lock; /* held for a copy, never over a system call */
	int fd;
	unsigned int first, count;
	struct post_message box[POST_BOX];
};

int post_open(struct post **out)
{
	struct post *post = calloc(1, sizeof(*post));

	if (!post)
		return -ENOMEM;
	post->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (post->fd < 0) {
		free(post);
		return -errno;
	}
	pthread_mutex_init(&post->lock, NULL);
	*out = post;
	return 0;
}

void post_close(struct post *post)
{
	if (!post)
		return;
	close(post->fd);
	pthread_mutex_destroy(&post->lock);
	secret_wipe(post, sizeof(*post));
	free(post);
}

int post_fd(const struct post *post)
{
	return post->fd;
}

bool post_take(struct post *post, struct post_message *message)
{
	uint64_t ignored;
	bool taken;

	pthread_mutex_lock(&post->lock);
	taken = post->count > 0;
	if (taken) {
		*message = post->box[post->first];
		post->first = (post->first + 1) % POST_BOX;
		post->count--;
	}
	pthread_mutex_unlock(&post->lock);
	/* Emptied before the last look: who puts one after it makes it readable again. */
	if (!taken && read(post->fd, &ignored, sizeof(ignored)) == sizeof(ignored))
		return post_take(post, message);
	return taken;
}

/* False: the box is full. */
static bool put(struct post *post, const struct peer *peer, uint32_t session, const uint8_t *data,
                uint32_t len)
{
	const uint64_t one = 1;
	bool fits, first;

	pthread_mutex_lock(&post->lock);
	fits = post->count < POST_BOX;
	first = post->count == 0;
	if (fits) {
		struct post_message *message = &post->box[(post->first + post->count++) % POST_BOX];

		memcpy(message->from, peer->public_key, KEY_SIZE);
		message->session = session;
		message->len = len;
		memcpy(message->bytes, data, len);
	}
	pthread_mutex_unlock(&post->lock);
	/* A counter of 64 bits that cannot overflow: there is nothing to fail. */
	if (fits && first && write(post->fd, &one, sizeof(one)) < 0)
		return true;
	return fits;
}

/* Who may send which, by what the peer is here. */
static enum drop judge(const struct peer *peer, uint8_t type)
{
	enum peer_role role = atomic_load_explicit(&peer->role, memory_order_relaxed);

	switch (type) {
	case WIRE_CONTROL_JOIN:
		return role == PEER_INVITED ? DROP_NONE : DROP_IN_JOIN;
	case WIRE_CONTROL_INTRODUCE:
		return role == PEER_INTRODUCER ? DROP_NONE
		       : role == PEER_INVITED  ? DROP_IN_JOIN
		                               : DROP_IN_INTRODUCTION;
	case WIRE_CONTROL_INTRODUCE_REPLY:
		return role == PEER_INVITED ? DROP_IN_JOIN : DROP_NONE;
	default: /* a daemon never asks to join */
		return DROP_IN_JOIN;
	}
}

void post_receive(struct burst *burst, struct peer *peer, uint32_t session, const uint8_t *data,
                  uint32_t len)
{
	struct post_share *share = &peer->post;
	uint64_t last_ns = atomic_load_explicit(&share->taken_ns, memory_order_relaxed);
	enum drop reason = judge(peer, data[1]);

	if (reason == DROP_NONE && len > POST_SIZE_MAX)
		reason = DROP_IN_CONTROL;
	if (reason == DROP_NONE && ((last_ns && burst->now_ns < last_ns + POST_SPACING_NS) ||
	                            !put(burst->device->post, peer, session, data, len)))
		reason = DROP_IN_POST;
	if (reason != DROP_NONE) {
		burst_drop(burst, peer, NULL, reason, 1);
		return;
	}
	atomic_store_explicit(&share->taken_ns, burst->now_ns, memory_order_relaxed);
}

static int lay_down(struct peer *peer, const void *data, uint32_t len, const uint32_t *session)
{
	struct post_share *share = &peer->post;
	uint8_t *copy = NULL, *old;

	if (len > POST_SIZE_MAX)
		return -EMSGSIZE;
	if (len) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, len);
	}
	pthread_mutex_lock(&peer->lock);
	old = share->bytes;
	share->bytes = copy;
	share->len = len;
	share->is_answer = session != NULL;
	share->session = session ? *session : 0;
	pthread_mutex_unlock(&peer->lock);
	free(old);
	timers_post_at(peer, device_now(peer->device));
	return 0;
}

int post_send(struct peer *peer, const void *data, uint32_t len)
{
	return lay_down(peer, data, len, NULL);
}

int post_answer(struct peer *peer, uint32_t session, const void *data, uint32_t len)
{
	return lay_down(peer, data, len, &session);
}

/* Who asked may have been overtaken by another who has the same key: then it is the one before. */
static struct keypair *find_session(const struct peer *peer, uint32_t session)
{
	struct keypair *slots[] = {
		atomic_load_explicit(&peer->session.current, memory_order_acquire),
		atomic_load_explicit(&peer->session.previous, memory_order_acquire),
	};

	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		if (slots[i] && slots[i]->local_index == session)
			return slots[i];
	return NULL;
}

void post_due(struct burst *burst, struct peer *peer)
{
	struct keypair *keypair = peer_send_keypair(peer, burst->now_ns);
	struct post_share *share = &peer->post;
	uint8_t out[POST_SIZE_MAX];
	uint32_t len, session;
	bool is_answer;

	pthread_mutex_lock(&peer->lock);
	len = share->len;
	is_answer = len && share->is_answer;
	session = share->session;
	if (len && (is_answer || keypair)) {
		memcpy(out, share->bytes, len);
		share->len = 0; /* the bytes are freed by who allocates: no worker does */
	}
	pthread_mutex_unlock(&peer->lock);
	if (is_answer)
		keypair = find_session(peer, session);
	else if (!keypair)
		handshake_want(burst, peer);
	if (is_answer || (len && keypair))
		burst_add_packet_by(burst, peer, keypair, out, len, BURST_CONTROL);
}

void post_clear(struct post_share *share)
{
	free(share->bytes);
	share->bytes = NULL;
}
