/* SPDX-License-Identifier: MIT */
#include "dataplane/ring_base.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/udp.h"

#define BUFFERS_SIZE ((size_t)RING_BUFFERS * RING_BUFFER_STRIDE)

static struct ring_base *base_of(struct ring *ring)
{
	return (struct ring_base *)ring;
}

uint64_t ring_base_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- receiving ---- */

uint8_t *ring_base_buffer(struct ring_base *base, unsigned int index)
{
	return base->buffers + (size_t)index * RING_BUFFER_STRIDE;
}

unsigned int ring_base_fit(const struct ring_source *source, size_t bytes)
{
	unsigned int fit = (unsigned int)(bytes / (source->usual_len + 1));

	return fit < RING_BATCH_LEAST ? RING_BATCH_LEAST : fit;
}

void ring_base_add_datagram(struct ring_base *base, unsigned int s, struct msghdr *msg,
                            uint8_t *data, uint32_t len)
{
	struct ring_source *source = &base->sources[s];
	struct ring_event *event = &base->batch[base->batch_count];
	uint32_t overflow = source->overflow;

	source->usual_len += len / 4 - source->usual_len / 4;
	if (!udp_message_parse(msg, len, event, &overflow)) {
		base->ring.refused++;
		return;
	}
	event->data = data;
	base->batch_count++;
	/*
	 * A socket of the daemon's last life goes on counting. What it dropped while nobody
	 * read came behind the first datagram that waits in it, which tells what was before.
	 */
	if (!source->counts)
		source->overflow = overflow;
	source->counts = true;
	/* Not always in order: the kernel sums it up over processors. */
	if ((int32_t)(overflow - source->overflow) > 0) {
		base->ring.overflowed += overflow - source->overflow;
		source->overflow = overflow;
	}
}

static bool error_is_passing(int error)
{
	return error == EAGAIN || error == EINTR || error == ENOMEM || error == ENOBUFS;
}

/* Nothing waits there now. One that was deleted is for a read to tell. */
static bool is_empty(int fd)
{
	struct pollfd look = { .fd = fd, .events = POLLIN };

	return poll(&look, 1, 0) == 0;
}

static void receive_frames(struct ring_base *base, unsigned int s, unsigned int share, size_t bytes)
{
	struct ring_source *source = &base->sources[s];
	size_t taken = 0;

	for (; share > 0 && taken < bytes; share--) {
		uint8_t *buffer = ring_base_buffer(base, base->buffers_used);
		ssize_t len = read(source->fd, buffer, RING_BUFFER_SIZE);

		if (len < 0) {
			source->ready = false;
			source->lost = !error_is_passing(errno);
			if (taken && errno == EAGAIN)
				base->batch[base->batch_count - 1].last = true;
			return;
		}
		base->buffers_used++;
		base->batch[base->batch_count++] = (struct ring_event){
			.type = RING_FRAME,
			.port = (uint16_t)(s - SOURCE_TAP),
			.data = buffer,
			.len = (uint32_t)len,
		};
		taken += (size_t)len;
	}
	/* That was all it may give now; a look costs less than a round that finds nothing. */
	if (is_empty(source->fd)) {
		source->ready = false;
		base->batch[base->batch_count - 1].last = true;
	}
}

static void receive(struct ring_base *base)
{
	unsigned int ready = 0, share;

	for (unsigned int s = 0; s < base->source_end; s++)
		ready += base->sources[s].ready;
	if (ready == 0)
		return;
	share = RING_EVENTS_MAX / ready;
	if (share == 0)
		share = 1;
	for (unsigned int s = 0; s < base->source_end; s++) {
		if (!base->sources[s].ready)
			continue;
		if (s < SOURCE_TAP)
			base->hooks->receive(base, s, share, RING_BATCH_BYTES / ready);
		else
			receive_frames(base, s, share, RING_BATCH_BYTES / ready);
		base->left |= base->sources[s].ready;
	}
}

static void source_clear(struct ring_base *base, unsigned int s)
{
	base->sources[s] = (struct ring_source){ .fd = -1 };
	while (base->source_end > 0 && base->sources[base->source_end - 1].fd < 0)
		base->source_end--;
}

static void report_lost(struct ring_base *base)
{
	for (unsigned int s = SOURCE_TAP; s < base->source_end; s++) {
		if (!base->sources[s].lost)
			continue;
		base->hooks->stop(base, s);
		source_clear(base, s);
		base->batch[base->batch_count++] = (struct ring_event){
			.type = RING_PORT_LOST,
			.port = (uint16_t)(s - SOURCE_TAP),
		};
	}
}

static unsigned int base_wait(struct ring *ring, uint64_t deadline_ns, struct ring_event *events,
                              unsigned int max)
{
	struct ring_base *base = base_of(ring);
	unsigned int n = 0;

	if (base->batch_next == base->batch_count && !base->draining) {
		bool over = false;
		int tries = 2; /* one that finds nothing, or only what is to be dropped */

		base->batch_next = base->batch_count = 0;
		while (base->batch_count == 0 && !over && tries-- > 0) {
			base->buffers_used = 0;
			base->left = false;
			over = base->hooks->await(base, deadline_ns);
			receive(base);
			report_lost(base);
		}
	}
	while (n < max && base->batch_next < base->batch_count) {
		if (udp_event_take(&base->batch[base->batch_next], &events[n++]))
			base->batch_next++;
	}
	ring->more = base->left || base->batch_next < base->batch_count;
	return n;
}

/* ---- sending ---- */

static void base_flush(struct ring *ring)
{
	struct ring_base *base = base_of(ring);

	udp_send_all(base->sources[SOURCE_UDP4].fd, base->sources[SOURCE_UDP6].fd, base->queue,
	             base->queue_count);
	base->queue_count = 0;
}

static void base_send(struct ring *ring, struct ring_send *sends, unsigned int n)
{
	struct ring_base *base = base_of(ring);

	for (unsigned int i = 0; i < n; i++) {
		if (base->queue_count == RING_QUEUE)
			base_flush(ring);
		base->queue[base->queue_count++] = &sends[i];
	}
}

static void base_write(struct ring *ring, struct ring_write *writes, unsigned int n)
{
	struct ring_base *base = base_of(ring);

	for (unsigned int i = 0; i < n; i++) {
		struct ring_write *write = &writes[i];
		int fd = -1;

		if (write->port < RING_PORTS_MAX)
			fd = base->sources[SOURCE_TAP + write->port].fd;
		write->error = -ENODEV;
		/* EBADFD: the device was deleted; its poll tells the next wait. */
		if (fd >= 0)
			write->error = writev(fd, write->iov, write->iov_count) < 0 ? -errno : 0;
	}
}

/* ---- sources ---- */

static int source_set(struct ring_base *base, unsigned int s, int fd)
{
	int err;

	/* Until it is known, take what comes to be long. */
	base->sources[s] = (struct ring_source){ .fd = fd, .usual_len = RING_BUFFER_SIZE };
	err = base->hooks->start(base, s);
	if (err)
		base->sources[s].fd = -1;
	else if (base->source_end <= s)
		base->source_end = s + 1;
	return err;
}

static int base_add_tap(struct ring *ring, uint16_t port, int fd)
{
	struct ring_base *base = base_of(ring);

	if (port >= RING_PORTS_MAX || fd < 0)
		return -EINVAL;
	if (base->sources[SOURCE_TAP + port].fd >= 0)
		return -EEXIST;
	return source_set(base, SOURCE_TAP + port, fd);
}

static void base_remove_tap(struct ring *ring, uint16_t port)
{
	struct ring_base *base = base_of(ring);
	unsigned int kept = base->batch_next;

	if (port >= RING_PORTS_MAX)
		return;
	/* Not if it was lost. */
	if (base->sources[SOURCE_TAP + port].fd >= 0) {
		base->hooks->stop(base, SOURCE_TAP + port);
		source_clear(base, SOURCE_TAP + port);
	}
	/* What was received and not handed out goes with it, and that it was lost. */
	for (unsigned int i = base->batch_next; i < base->batch_count; i++) {
		if (base->batch[i].type == RING_DATAGRAM || base->batch[i].port != port)
			base->batch[kept++] = base->batch[i];
	}
	base->batch_count = kept;
}

static int base_set_udp(struct ring *ring, int fd4, int fd6)
{
	struct ring_base *base = base_of(ring);
	const int fds[] = { [SOURCE_UDP4] = fd4, [SOURCE_UDP6] = fd6 };
	int err = 0;

	for (unsigned int s = SOURCE_UDP4; s <= SOURCE_UDP6; s++) {
		if (base->sources[s].fd == fds[s])
			continue;
		if (base->sources[s].fd >= 0) {
			base->hooks->stop(base, s);
			source_clear(base, s);
		}
		if (fds[s] >= 0 && !err)
			err = source_set(base, s, fds[s]);
	}
	return err;
}

/* ---- life ---- */

static void base_drain(struct ring *ring)
{
	struct ring_base *base = base_of(ring);

	/* What completes while requests are called off joins the batch. */
	for (unsigned int s = 0; s < base->source_end; s++) {
		if (base->sources[s].fd >= 0)
			base->hooks->stop(base, s);
	}
	base->draining = true;
	base->left = false;
	ring->more = base->batch_next < base->batch_count;
}

static void base_wake(struct ring *ring)
{
	uint64_t one = 1;

	(void)!write(base_of(ring)->wake_fd, &one, sizeof(one));
}

void ring_base_wake_done(struct ring_base *base)
{
	uint64_t count;

	(void)!read(base->wake_fd, &count, sizeof(count));
}

static void release(struct ring_base *base)
{
	if (base->buffers)
		munmap(base->buffers, BUFFERS_SIZE);
	if (base->wake_fd >= 0)
		close(base->wake_fd);
}

static void base_close(struct ring *ring)
{
	struct ring_base *base = base_of(ring);

	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		if (base->sources[s].fd >= 0)
			base->hooks->stop(base, s);
	}
	base->hooks->close(base);
	release(base);
	free(base);
}

static const struct ring_ops base_ops = {
	.add_tap = base_add_tap,
	.remove_tap = base_remove_tap,
	.set_udp = base_set_udp,
	.wait = base_wait,
	.send = base_send,
	.write = base_write,
	.flush = base_flush,
	.wake = base_wake,
	.drain = base_drain,
	.close = base_close,
};

int ring_base_open(struct ring_base *base, const char *name, const struct ring_base_hooks *hooks)
{
	void *memory;

	base->ring.ops = &base_ops;
	base->ring.name = name;
	base->hooks = hooks;
	for (unsigned int s = 0; s < SOURCE_COUNT; s++)
		base->sources[s].fd = -1;
	base->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (base->wake_fd < 0)
		return -errno;
	memory = mmap(NULL, BUFFERS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	              0);
	if (memory == MAP_FAILED) {
		release(base);
		return -ENOMEM;
	}
	base->buffers = memory;
	return 0;
}
