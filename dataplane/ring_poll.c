/* SPDX-License-Identifier: MIT */
/*
 * The backend for any kernel: poll, then readv and recvmmsg, writev and sendmmsg,
 * none of which ever blocks.
 *
 * A wait receives at most one batch and hands it out; what did not fit into the
 * caller's array is handed out by the next wait before anything else is received,
 * so buffers are only ever written to while none is in anyone's hands. Buffers
 * are taken from the first on in every batch: the few that a batch needs stay in
 * the processor's cache.
 *
 * Fairness: every descriptor that is ready gets an equal share of a batch, in
 * number and in bytes, and turns are taken who comes first.
 *
 * TAP writes are done at once, sends are gathered until the flush.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/ring.h"
#include "dataplane/udp.h"

/* Sources, also the indices of the poll set: both sockets, then the TAPs, then the wake-up. */
enum {
	SOURCE_UDP4,
	SOURCE_UDP6,
	SOURCE_TAP,
	SOURCE_COUNT = SOURCE_TAP + RING_PORTS_MAX,
	POLL_WAKE = SOURCE_COUNT,
	POLL_COUNT,
};

/* Bytes that a batch aims at: more gains nothing and leaves the cache. */
#define BATCH_BYTES (256u * 1024)
/* Few enough long messages to keep the others waiting shortly, whatever the share. */
#define BATCH_LEAST 4u
/* Buffers in a row must not all start in the same sets of a cache. */
#define BUFFER_STRIDE (RING_BUFFER_SIZE + 640)
#define SEND_QUEUE    128u

struct poll_source {
	uint32_t usual_len; /* moving average of what a read yields */
	uint32_t overflow; /* sockets: last SO_RXQ_OVFL */
	bool lost; /* TAPs: gone, and RING_PORT_LOST not yet told */
};

struct poll_ring {
	struct ring ring;
	struct pollfd fds[POLL_COUNT]; /* fd -1: no such source; poll() skips it */
	struct poll_source sources[SOURCE_COUNT];
	unsigned int source_end; /* one past the highest source in use */
	unsigned int turn; /* the source that is served first */

	/* what was received and not yet handed out */
	struct ring_event batch[RING_EVENTS_MAX + RING_PORTS_MAX];
	unsigned int batch_next;
	unsigned int batch_count;
	unsigned int buffers_used;

	struct ring_send *queue[SEND_QUEUE];
	unsigned int queue_count;
	uint8_t *buffers; /* RING_EVENTS_MAX of BUFFER_STRIDE */
};

#define BUFFERS_SIZE ((size_t)RING_EVENTS_MAX * BUFFER_STRIDE)

static struct poll_ring *poll_ring_of(struct ring *ring)
{
	return (struct poll_ring *)ring;
}

static uint8_t *buffer_at(struct poll_ring *pr, unsigned int index)
{
	return pr->buffers + (size_t)index * BUFFER_STRIDE;
}

/* ---- receiving ---- */

static void note_len(struct poll_source *source, uint32_t len)
{
	source->usual_len += len / 8 - source->usual_len / 8;
}

static void note_overflow(struct poll_ring *pr, struct poll_source *source, uint32_t overflow)
{
	/* Not always in order: the kernel sums it up over processors. */
	if ((int32_t)(overflow - source->overflow) <= 0)
		return;
	pr->ring.overflowed += overflow - source->overflow;
	source->overflow = overflow;
}

static bool error_is_passing(int error)
{
	return error == EAGAIN || error == EINTR || error == ENOMEM || error == ENOBUFS;
}

static void batch_lost(struct poll_ring *pr, unsigned int s)
{
	pr->fds[s].fd = -1;
	pr->sources[s].lost = false;
	pr->batch[pr->batch_count++] = (struct ring_event){
		.type = RING_PORT_LOST,
		.port = (uint16_t)(s - SOURCE_TAP),
	};
}

static void receive_frames(struct poll_ring *pr, unsigned int s, unsigned int share, size_t bytes)
{
	size_t taken = 0;

	while (share-- > 0 && taken < bytes) {
		uint8_t *buffer = buffer_at(pr, pr->buffers_used);
		ssize_t len = read(pr->fds[s].fd, buffer, RING_BUFFER_SIZE);

		if (len < 0) {
			if (!error_is_passing(errno))
				batch_lost(pr, s);
			break;
		}
		taken += (size_t)len;
		pr->buffers_used++;
		pr->batch[pr->batch_count++] = (struct ring_event){
			.type = RING_FRAME,
			.port = (uint16_t)(s - SOURCE_TAP),
			.data = buffer,
			.len = (uint32_t)len,
		};
	}
}

static void receive_datagrams(struct poll_ring *pr, unsigned int s, unsigned int share,
                              size_t bytes)
{
	struct poll_source *source = &pr->sources[s];
	uint8_t control[RING_EVENTS_MAX][UDP_CONTROL_SIZE] __attribute__((aligned(sizeof(size_t))));
	struct sockaddr_in6 names[RING_EVENTS_MAX];
	struct mmsghdr messages[RING_EVENTS_MAX];
	struct iovec iovs[RING_EVENTS_MAX];
	unsigned int fit = (unsigned int)(bytes / (source->usual_len + 1));
	int n;

	if (fit < BATCH_LEAST)
		fit = BATCH_LEAST;
	if (share > fit)
		share = fit;
	for (unsigned int i = 0; i < share; i++) {
		iovs[i].iov_base = buffer_at(pr, pr->buffers_used + i);
		iovs[i].iov_len = RING_BUFFER_SIZE;
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &names[i],
			.msg_namelen = sizeof(names[i]),
			.msg_iov = &iovs[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i]),
		};
	}
	n = recvmmsg(pr->fds[s].fd, messages, share, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		struct ring_event *event = &pr->batch[pr->batch_count];
		uint32_t overflow = source->overflow;

		note_len(source, messages[i].msg_len);
		if (!udp_message_parse(&messages[i].msg_hdr, messages[i].msg_len, event, &overflow))
			continue;
		event->data = iovs[i].iov_base;
		note_overflow(pr, source, overflow);
		pr->batch_count++;
	}
	if (n > 0)
		pr->buffers_used += (unsigned int)n;
}

static void receive(struct poll_ring *pr)
{
	unsigned int ready = 0, share;

	for (unsigned int s = 0; s < pr->source_end; s++)
		ready += pr->fds[s].fd >= 0 && pr->fds[s].revents != 0;
	if (ready == 0)
		return;
	share = RING_EVENTS_MAX / ready;
	if (share == 0)
		share = 1;
	if (++pr->turn >= pr->source_end)
		pr->turn = 0;
	for (unsigned int i = 0; i < pr->source_end; i++) {
		unsigned int s = (pr->turn + i) % pr->source_end;

		if (pr->fds[s].fd < 0 || pr->fds[s].revents == 0)
			continue;
		if (pr->buffers_used + share > RING_EVENTS_MAX)
			break;
		if (s < SOURCE_TAP)
			receive_datagrams(pr, s, share, BATCH_BYTES / ready);
		else
			receive_frames(pr, s, share, BATCH_BYTES / ready);
	}
}

/* Ports of which a write found out that they are gone. */
static void report_lost(struct poll_ring *pr)
{
	for (unsigned int s = SOURCE_TAP; s < pr->source_end; s++) {
		if (pr->sources[s].lost)
			batch_lost(pr, s);
	}
}

static unsigned int hand_out(struct poll_ring *pr, struct ring_event *events, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && pr->batch_next < pr->batch_count) {
		if (udp_event_take(&pr->batch[pr->batch_next], &events[n++]))
			pr->batch_next++;
	}
	return n;
}

/* False: nothing came. */
static bool await(struct poll_ring *pr, uint64_t deadline_ns)
{
	struct timespec now, sleep = { 0 }, *timeout = &sleep;
	int n;

	if (deadline_ns == UINT64_MAX) {
		timeout = NULL;
	} else if (deadline_ns) {
		uint64_t now_ns;

		clock_gettime(CLOCK_BOOTTIME, &now);
		now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
		if (deadline_ns > now_ns) {
			sleep.tv_sec = (time_t)((deadline_ns - now_ns) / 1000000000u);
			sleep.tv_nsec = (long)((deadline_ns - now_ns) % 1000000000u);
		}
	}
	n = ppoll(pr->fds, POLL_COUNT, timeout, NULL);
	if (n > 0 && pr->fds[POLL_WAKE].revents) {
		uint64_t count;

		(void)!read(pr->fds[POLL_WAKE].fd, &count, sizeof(count));
	}
	return n > 0;
}

static unsigned int poll_wait(struct ring *ring, uint64_t deadline_ns, struct ring_event *events,
                              unsigned int max)
{
	struct poll_ring *pr = poll_ring_of(ring);

	if (pr->batch_next == pr->batch_count) {
		pr->batch_next = pr->batch_count = pr->buffers_used = 0;
		report_lost(pr);
		if (await(pr, pr->batch_count ? 0 : deadline_ns))
			receive(pr);
	}
	return hand_out(pr, events, max);
}

/* ---- sending ---- */

static void poll_flush(struct ring *ring)
{
	struct poll_ring *pr = poll_ring_of(ring);

	udp_send_all(pr->fds[SOURCE_UDP4].fd, pr->fds[SOURCE_UDP6].fd, pr->queue, pr->queue_count);
	pr->queue_count = 0;
}

static void poll_send(struct ring *ring, struct ring_send *sends, unsigned int n)
{
	struct poll_ring *pr = poll_ring_of(ring);

	for (unsigned int i = 0; i < n; i++) {
		if (pr->queue_count == SEND_QUEUE)
			poll_flush(ring);
		pr->queue[pr->queue_count++] = &sends[i];
	}
}

static void poll_write(struct ring *ring, struct ring_write *writes, unsigned int n)
{
	struct poll_ring *pr = poll_ring_of(ring);

	for (unsigned int i = 0; i < n; i++) {
		struct ring_write *write = &writes[i];
		unsigned int s = SOURCE_TAP + write->port;

		write->error = -ENODEV;
		if (write->port >= RING_PORTS_MAX || pr->fds[s].fd < 0 || pr->sources[s].lost)
			continue;
		write->error = writev(pr->fds[s].fd, write->iov, write->iov_count) < 0 ? -errno : 0;
		/* The device was deleted: a TAP that is merely down says EIO. */
		pr->sources[s].lost = write->error == -EBADFD;
	}
}

/* ---- sources ---- */

static void find_source_end(struct poll_ring *pr)
{
	pr->source_end = SOURCE_COUNT;
	while (pr->source_end > SOURCE_TAP && pr->fds[pr->source_end - 1].fd < 0)
		pr->source_end--;
}

static void source_set(struct poll_ring *pr, unsigned int s, int fd)
{
	pr->fds[s].fd = fd;
	pr->fds[s].events = POLLIN;
	pr->fds[s].revents = 0;
	pr->sources[s] = (struct poll_source){ .usual_len = 0 };
	find_source_end(pr);
}

static int poll_add_tap(struct ring *ring, uint16_t port, int fd)
{
	struct poll_ring *pr = poll_ring_of(ring);

	if (port >= RING_PORTS_MAX || fd < 0)
		return -EINVAL;
	if (pr->fds[SOURCE_TAP + port].fd >= 0)
		return -EEXIST;
	source_set(pr, SOURCE_TAP + port, fd);
	return 0;
}

/* Forgets what was received from a port and not handed out. */
static void drop_batch(struct poll_ring *pr, uint16_t port)
{
	unsigned int kept = pr->batch_next;

	for (unsigned int i = pr->batch_next; i < pr->batch_count; i++) {
		if (pr->batch[i].type == RING_DATAGRAM || pr->batch[i].port != port)
			pr->batch[kept++] = pr->batch[i];
	}
	pr->batch_count = kept;
}

static void poll_remove_tap(struct ring *ring, uint16_t port)
{
	struct poll_ring *pr = poll_ring_of(ring);

	if (port >= RING_PORTS_MAX)
		return;
	source_set(pr, SOURCE_TAP + port, -1);
	drop_batch(pr, port);
}

static int poll_set_udp(struct ring *ring, int fd4, int fd6)
{
	struct poll_ring *pr = poll_ring_of(ring);

	poll_flush(ring);
	if (pr->fds[SOURCE_UDP4].fd != fd4)
		source_set(pr, SOURCE_UDP4, fd4);
	if (pr->fds[SOURCE_UDP6].fd != fd6)
		source_set(pr, SOURCE_UDP6, fd6);
	return 0;
}

static void poll_wake(struct ring *ring)
{
	uint64_t one = 1;

	(void)!write(poll_ring_of(ring)->fds[POLL_WAKE].fd, &one, sizeof(one));
}

static void poll_close(struct ring *ring)
{
	struct poll_ring *pr = poll_ring_of(ring);

	if (pr->buffers)
		munmap(pr->buffers, BUFFERS_SIZE);
	if (pr->fds[POLL_WAKE].fd >= 0)
		close(pr->fds[POLL_WAKE].fd);
	free(pr);
}

static const struct ring_ops poll_ops = {
	.add_tap = poll_add_tap,
	.remove_tap = poll_remove_tap,
	.set_udp = poll_set_udp,
	.wait = poll_wait,
	.send = poll_send,
	.write = poll_write,
	.flush = poll_flush,
	.wake = poll_wake,
	.close = poll_close,
};

int ring_open_poll(struct ring **ring)
{
	struct poll_ring *pr = calloc(1, sizeof(*pr));
	int err;

	if (!pr)
		return -ENOMEM;
	pr->ring.ops = &poll_ops;
	pr->ring.name = "poll";
	strcpy(pr->ring.features, "recvmmsg, sendmmsg, readv, writev");
	for (unsigned int s = 0; s < SOURCE_COUNT; s++)
		source_set(pr, s, -1);
	pr->buffers = mmap(NULL, BUFFERS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                   -1, 0);
	pr->fds[POLL_WAKE].events = POLLIN;
	pr->fds[POLL_WAKE].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pr->buffers == MAP_FAILED) {
		pr->buffers = NULL;
		err = -ENOMEM;
	} else {
		err = pr->fds[POLL_WAKE].fd < 0 ? -errno : 0;
	}
	if (err) {
		poll_close(&pr->ring);
		return err;
	}
	*ring = &pr->ring;
	return 0;
}
