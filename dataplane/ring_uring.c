/* SPDX-License-Identifier: MIT */
/*
 * The io_uring backend, for Linux 6.1 and newer; the only user of liburing.
 *
 * Receiving. Every source (two sockets, up to RING_PORTS_MAX TAPs) has a buffer
 * ring of its own and one multishot request (recvmsg; read from 6.7 on) that the
 * kernel feeds from it. So no source can take another's buffers, and one batch
 * holds at most what was provided: as many buffers as make BATCH_BYTES of what
 * the source usually brings. Buffers come back last in, first out, which keeps
 * the set in use small and in the cache. A source that ran out of buffers ends
 * its request with ENOBUFS and is armed again by the next wait; nothing is lost,
 * it waits in the socket or the TAP.
 * Before 6.7 a TAP is polled, and read with plain system calls.
 *
 * What a wait hands out is given back to the kernel by the next wait, never
 * before. Completions are first moved to a list (@pending), for a flush finds
 * received data in its way when it looks for its own completions. The list and
 * the completion queue hold all that can be under way at once: every buffer, one
 * end for every request, and a full queue of sends. So they never overflow.
 *
 * Sending. The promise is that a flush returns with everything done and that
 * order holds. io_uring issues requests in the order of submission, each once
 * without blocking, within io_uring_enter(); only one that says EAGAIN there may
 * go on later, by poll or a worker thread. MSG_DONTWAIT on sendmsg and RWF_NOWAIT
 * on writev forbid just that: the kernel marks such requests "no wait" and ends
 * them with EAGAIN on the spot. (O_NONBLOCK alone is not enough: of a file that
 * can be polled io_uring takes it for no reason to give up.) So all completions
 * are there when the system call returns; the loop in tx_finish() waits for them
 * all the same. Before 6.4 a TAP knows no RWF_NOWAIT; there a write could only be
 * put off once 2 GiB, the default of its send buffer, were under way in it.
 * A send that the slow path repeats comes after those behind it in the flush.
 * Once is nothing; but a device that cannot segment would reorder every burst, so
 * after such a repetition sends go by sendmmsg, strictly in order, for a minute.
 *
 * No registered files: their table would hold on to a TAP beyond its close, the
 * device would outlive its port and its name be taken.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/ring.h"
#include "dataplane/ring_uring.h"
#include "dataplane/udp.h"

/* linux/io_uring.h of 6.7. */
#define URING_OP_READ_MULTISHOT 49

enum {
	SOURCE_UDP4,
	SOURCE_UDP6,
	SOURCE_TAP,
	SOURCE_COUNT = SOURCE_TAP + RING_PORTS_MAX,
};

#define BUFFERS       32u /* of each source; a power of two */
#define BUFFERS_LEAST 4u
/* Bytes that a batch of one source aims at: more gains nothing and leaves the cache. */
#define BATCH_BYTES (256u * 1024)
/* Buffers in a row must not all start in the same sets of a cache. */
#define BUFFER_STRIDE    (RING_BUFFER_SIZE + 640)
#define MEMORY_SIZE      ((size_t)BUFFERS * BUFFER_STRIDE)
#define BUFFER_RING_SIZE ((size_t)4096)

#define TX_MAX           128u
#define SQ_ENTRIES       256u
#define CQ_ENTRIES       4096u
#define PENDING_MAX      (SOURCE_COUNT * BUFFERS)
#define CAREFUL_NS       60000000000u
#define NO_DEADLINE_S    1000000000

_Static_assert(PENDING_MAX + SOURCE_COUNT + SQ_ENTRIES < CQ_ENTRIES, "no overflow");
_Static_assert(BUFFERS * sizeof(struct io_uring_buf) <= BUFFER_RING_SIZE, "buffer ring");

/* What precedes a datagram in its buffer: 240 bytes, so that message bodies lie on a line. */
#define NAME_SIZE 32u

enum tag_type {
	TAG_WAKE,
	TAG_SOURCE, /* multishot, or without it the poll */
	TAG_SEND, /* index: into tx */
	TAG_WRITE,
	TAG_CANCEL,
};

union tag {
	struct {
		uint8_t type; /* enum tag_type */
		uint8_t source;
		uint16_t zero;
		uint32_t index;
	};
	uint64_t bits;
};
_Static_assert(sizeof(union tag) == sizeof(uint64_t), "user_data");

struct uring_source {
	int fd; /* -1: none */
	bool armed; /* a request that stays is with the kernel */
	bool readable; /* without multishot read: a read may find something */
	bool lost; /* TAPs: gone, and RING_PORT_LOST not yet told */
	uint32_t usual_len; /* moving average of what one completion brings */
	uint32_t overflow; /* sockets: last SO_RXQ_OVFL */

	/* made with the first descriptor, kept until the ring is closed */
	uint8_t *memory;
	struct io_uring_buf_ring *buffers;
	uint16_t free[BUFFERS]; /* a stack */
	uint16_t free_count;
	uint16_t provided;
	int write_flags; /* TAPs: RWF_NOWAIT, where the kernel has it */
};

struct received {
	uint8_t source;
	uint16_t buffer;
	uint32_t len;
};

struct tx {
	union {
		struct ring_send *send;
		struct ring_write *write;
	};
	enum tag_type type;
	int result;
};

struct tx_message {
	struct msghdr msg;
	struct iovec iov;
	uint8_t control[UDP_CONTROL_SIZE] __attribute__((aligned(sizeof(size_t))));
};

struct uring_ring {
	struct ring ring;
	struct io_uring uring;
	int wake_fd;
	bool wake_armed;
	bool woken;
	bool read_multishot;
	bool old_kernel; /* behave as on one */
	bool any_lost;
	bool cancel_done;
	unsigned int source_end; /* one past the highest source in use */
	unsigned int turn; /* the source that is armed first */
	struct msghdr shape; /* of every recvmsg: room for name and control */
	struct uring_source sources[SOURCE_COUNT];

	struct received held[RING_EVENTS_MAX]; /* the caller's until the next wait */
	unsigned int held_count;
	struct ring_event rest; /* of a datagram buffer handed out in parts; len 0: none */
	struct received rest_of;
	struct received pending[PENDING_MAX];
	unsigned int pending_next;
	unsigned int pending_count;

	uint64_t careful_until_ns;
	unsigned int tx_count;
	unsigned int tx_done;
	struct tx tx[TX_MAX];
	struct tx_message messages[TX_MAX];
};

static struct uring_ring *uring_ring_of(struct ring *ring)
{
	return (struct uring_ring *)ring;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool error_is_passing(int error)
{
	return error == -EAGAIN || error == -EINTR || error == -ENOMEM || error == -ENOBUFS ||
	       error == -ECANCELED;
}

static struct io_uring_sqe *get_sqe(struct uring_ring *ur)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ur->uring);

	while (!sqe) { /* the queue is full of requests to receive */
		(void)io_uring_submit(&ur->uring);
		sqe = io_uring_get_sqe(&ur->uring);
	}
	return sqe;
}

/* After the prep functions of liburing, some of which clear it. */
static void set_tag(struct io_uring_sqe *sqe, union tag tag)
{
	sqe->user_data = tag.bits;
}

/* ---- buffers ---- */

static uint8_t *buffer_at(struct uring_source *source, unsigned int buffer)
{
	return source->memory + (size_t)buffer * BUFFER_STRIDE;
}

static void buffer_put(struct uring_ring *ur, const struct received *rx)
{
	struct uring_source *source = &ur->sources[rx->source];

	source->free[source->free_count++] = rx->buffer;
}

static unsigned int buffers_wanted(const struct uring_source *source)
{
	unsigned int fit = BATCH_BYTES / (source->usual_len + 1);

	return fit < BUFFERS_LEAST ? BUFFERS_LEAST : fit > BUFFERS ? BUFFERS : fit;
}

static void buffers_provide(struct uring_source *source)
{
	unsigned int wanted = buffers_wanted(source);
	int added = 0;

	while (source->provided < wanted && source->free_count > 0) {
		uint16_t buffer = source->free[--source->free_count];

		io_uring_buf_ring_add(source->buffers, buffer_at(source, buffer), RING_BUFFER_SIZE,
		                      buffer, BUFFERS - 1, added++);
		source->provided++;
	}
	if (added)
		io_uring_buf_ring_advance(source->buffers, added);
}

static int source_make_buffers(struct uring_ring *ur, unsigned int s)
{
	struct uring_source *source = &ur->sources[s];
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = (uint16_t)s };
	uint8_t *memory;
	int err;

	if (source->memory)
		return 0;
	memory = mmap(NULL, BUFFER_RING_SIZE + MEMORY_SIZE, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	reg.ring_addr = (uint64_t)(uintptr_t)memory;
	err = io_uring_register_buf_ring(&ur->uring, &reg, 0);
	if (err) {
		munmap(memory, BUFFER_RING_SIZE + MEMORY_SIZE);
		return err;
	}
	source->buffers = (struct io_uring_buf_ring *)(void *)memory;
	source->memory = memory + BUFFER_RING_SIZE;
	for (source->free_count = 0; source->free_count < BUFFERS; source->free_count++)
		source->free[source->free_count] = (uint16_t)(BUFFERS - 1 - source->free_count);
	return 0;
}

/* ---- completions ---- */

static void pending_push(struct uring_ring *ur, unsigned int s, unsigned int buffer, int len)
{
	struct uring_source *source = &ur->sources[s];
	struct received *rx = &ur->pending[ur->pending_count++];

	source->usual_len += (uint32_t)len / 8 - source->usual_len / 8;
	rx->source = (uint8_t)s;
	rx->buffer = (uint16_t)buffer;
	rx->len = (uint32_t)len;
}

static void source_failed(struct uring_ring *ur, unsigned int s, int error)
{
	if (s < SOURCE_TAP || error_is_passing(error))
		return;
	ur->sources[s].lost = true;
	ur->any_lost = true;
}

static void complete_source(struct uring_ring *ur, unsigned int s, const struct io_uring_cqe *cqe)
{
	struct uring_source *source = &ur->sources[s];

	if (!(cqe->flags & IORING_CQE_F_MORE))
		source->armed = false;
	if (cqe->flags & IORING_CQE_F_BUFFER) {
		source->provided--;
		pending_push(ur, s, cqe->flags >> IORING_CQE_BUFFER_SHIFT,
		             cqe->res > 0 ? cqe->res : 0);
	} else if (cqe->res < 0) {
		source_failed(ur, s, cqe->res);
	} else if (s >= SOURCE_TAP && !ur->read_multishot) {
		source->readable = true;
	}
}

static void complete(struct uring_ring *ur, const struct io_uring_cqe *cqe)
{
	union tag tag = { .bits = cqe->user_data };
	uint64_t count;

	switch ((enum tag_type)tag.type) {
	case TAG_WAKE:
		ur->woken = true;
		ur->wake_armed = cqe->flags & IORING_CQE_F_MORE;
		(void)!read(ur->wake_fd, &count, sizeof(count));
		break;
	case TAG_SOURCE:
		complete_source(ur, tag.source, cqe);
		break;
	case TAG_SEND:
	case TAG_WRITE:
		ur->tx[tag.index].result = cqe->res;
		ur->tx_done++;
		break;
	case TAG_CANCEL:
		ur->cancel_done = true;
		break;
	}
}

static void reap(struct uring_ring *ur)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	if (ur->pending_next > 0) { /* what is behind it would not fit otherwise */
		ur->pending_count -= ur->pending_next;
		memmove(ur->pending, ur->pending + ur->pending_next,
		        ur->pending_count * sizeof(ur->pending[0]));
		ur->pending_next = 0;
	}
	io_uring_for_each_cqe(&ur->uring, head, cqe)
	{
		complete(ur, cqe);
		n++;
	}
	io_uring_cq_advance(&ur->uring, n);
}

/* ---- arming ---- */

static void arm_source(struct uring_ring *ur, unsigned int s)
{
	struct uring_source *source = &ur->sources[s];
	union tag tag = { .type = TAG_SOURCE, .source = (uint8_t)s };
	struct io_uring_sqe *sqe;

	if (s >= SOURCE_TAP && !ur->read_multishot) {
		if (source->armed)
			return;
		sqe = get_sqe(ur);
		io_uring_prep_poll_multishot(sqe, source->fd, POLLIN);
		set_tag(sqe, tag);
		source->armed = true;
		return;
	}
	buffers_provide(source);
	if (source->armed)
		return;
	sqe = get_sqe(ur);
	if (s < SOURCE_TAP) {
		io_uring_prep_recvmsg_multishot(sqe, source->fd, &ur->shape, 0);
	} else {
		io_uring_prep_rw(URING_OP_READ_MULTISHOT, sqe, source->fd, NULL, 0, 0);
	}
	set_tag(sqe, tag);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = (uint16_t)s;
	source->armed = true;
}

static void arm_all(struct uring_ring *ur)
{
	if (!ur->wake_armed) {
		union tag tag = { .type = TAG_WAKE };
		struct io_uring_sqe *sqe = get_sqe(ur);

		io_uring_prep_poll_multishot(sqe, ur->wake_fd, POLLIN);
		set_tag(sqe, tag);
		ur->wake_armed = true;
	}
	if (++ur->turn >= ur->source_end)
		ur->turn = 0;
	for (unsigned int i = 0; i < ur->source_end; i++) {
		unsigned int s = (ur->turn + i) % ur->source_end;

		if (ur->sources[s].fd >= 0 && !ur->sources[s].lost)
			arm_source(ur, s);
	}
}

/* Something was left undone that the next io_uring_enter() would do without sleeping. */
static bool want_arm(const struct uring_ring *ur)
{
	for (unsigned int s = 0; s < ur->source_end; s++) {
		if (ur->sources[s].fd >= 0 && !ur->sources[s].lost && !ur->sources[s].armed)
			return true;
	}
	return false;
}

/* ---- TAPs without multishot read ---- */

static bool any_readable(const struct uring_ring *ur)
{
	if (ur->read_multishot)
		return false;
	for (unsigned int s = SOURCE_TAP; s < ur->source_end; s++) {
		if (ur->sources[s].readable)
			return true;
	}
	return false;
}

/* One batch; the poll tells of changes only, so it stays readable until a read says no. */
static void read_source(struct uring_ring *ur, unsigned int s)
{
	struct uring_source *source = &ur->sources[s];

	for (unsigned int n = buffers_wanted(source); n > 0 && source->free_count > 0; n--) {
		uint16_t buffer = source->free[source->free_count - 1];
		ssize_t len = read(source->fd, buffer_at(source, buffer), RING_BUFFER_SIZE);

		if (len < 0) {
			source->readable = false;
			source_failed(ur, s, -errno);
			break;
		}
		source->free_count--;
		pending_push(ur, s, buffer, (int)len);
	}
}

static void read_all(struct uring_ring *ur)
{
	for (unsigned int s = SOURCE_TAP; s < ur->source_end; s++) {
		if (ur->sources[s].readable)
			read_source(ur, s);
	}
}

/* ---- stopping and starting ---- */

/* The end of what is cancelled may come after the cancellation's own completion: then again. */
static void cancel(struct uring_ring *ur, union tag what, const bool *armed)
{
	union tag tag = { .type = TAG_CANCEL };

	while (*armed) {
		struct io_uring_sqe *sqe = get_sqe(ur);

		io_uring_prep_cancel64(sqe, what.bits, 0);
		set_tag(sqe, tag);
		ur->cancel_done = false;
		while (!ur->cancel_done) {
			(void)io_uring_submit_and_wait(&ur->uring, 1);
			reap(ur);
		}
	}
}

static void source_stop(struct uring_ring *ur, unsigned int s)
{
	struct uring_source *source = &ur->sources[s];
	union tag tag = { .type = TAG_SOURCE, .source = (uint8_t)s };
	unsigned int kept;

	if (source->fd < 0)
		return;
	cancel(ur, tag, &source->armed);
	kept = ur->pending_next;
	for (unsigned int i = ur->pending_next; i < ur->pending_count; i++) {
		if (ur->pending[i].source == s)
			buffer_put(ur, &ur->pending[i]);
		else
			ur->pending[kept++] = ur->pending[i];
	}
	ur->pending_count = kept;
	source->fd = -1;
	source->lost = false;
	source->readable = false;
	source->usual_len = 0;
	source->overflow = 0;
}

/* A frame too short to be one tells without a trace. */
static int tap_write_flags(int fd)
{
	uint8_t byte = 0;
	struct iovec iov = { &byte, sizeof(byte) };

	return pwritev2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP ? 0 : RWF_NOWAIT;
}

static int source_start(struct uring_ring *ur, unsigned int s, int fd)
{
	int err = source_make_buffers(ur, s);

	if (err)
		return err;
	ur->sources[s].fd = fd;
	if (ur->source_end <= s)
		ur->source_end = s + 1;
	return 0;
}

/* ---- handing out ---- */

static void note_overflow(struct uring_ring *ur, struct uring_source *source, uint32_t overflow)
{
	/* Not always in order: the kernel sums it up over processors. */
	if ((int32_t)(overflow - source->overflow) <= 0)
		return;
	ur->ring.overflowed += overflow - source->overflow;
	source->overflow = overflow;
}

static bool parse_datagram(struct uring_ring *ur, const struct received *rx,
                           struct ring_event *event)
{
	struct uring_source *source = &ur->sources[rx->source];
	uint8_t *buffer = buffer_at(source, rx->buffer);
	struct io_uring_recvmsg_out *out;
	uint32_t overflow = source->overflow;
	struct msghdr msg = { .msg_iovlen = 0 };

	out = io_uring_recvmsg_validate(buffer, (int)rx->len, &ur->shape);
	if (!out)
		return false;
	msg.msg_name = io_uring_recvmsg_name(out);
	msg.msg_namelen = out->namelen < NAME_SIZE ? out->namelen : NAME_SIZE;
	msg.msg_control = buffer + sizeof(*out) + NAME_SIZE;
	msg.msg_controllen =
		out->controllen < UDP_CONTROL_SIZE ? out->controllen : UDP_CONTROL_SIZE;
	msg.msg_flags = (int)out->flags;
	event->data = io_uring_recvmsg_payload(out, &ur->shape);
	if (!udp_message_parse(&msg, io_uring_recvmsg_payload_length(out, (int)rx->len, &ur->shape),
	                       event, &overflow))
		return false;
	note_overflow(ur, source, overflow);
	return true;
}

/* Makes an event of @rx in @ur->rest. False: there was none in it. */
static bool take_received(struct uring_ring *ur, const struct received *rx)
{
	struct uring_source *source = &ur->sources[rx->source];

	if (rx->source < SOURCE_TAP) {
		if (!parse_datagram(ur, rx, &ur->rest)) {
			ur->rest.len = 0;
			buffer_put(ur, rx);
			return false;
		}
	} else {
		ur->rest = (struct ring_event){
			.type = RING_FRAME,
			.port = (uint16_t)(rx->source - SOURCE_TAP),
			.data = buffer_at(source, rx->buffer),
			.len = rx->len,
		};
	}
	ur->rest_of = *rx;
	return true;
}

static unsigned int hand_out_lost(struct uring_ring *ur, struct ring_event *events,
                                  unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int s = SOURCE_TAP; s < ur->source_end && n < max; s++) {
		if (!ur->sources[s].lost)
			continue;
		source_stop(ur, s);
		events[n++] = (struct ring_event){ .type = RING_PORT_LOST,
			                           .port = (uint16_t)(s - SOURCE_TAP) };
	}
	ur->any_lost = n == max;
	return n;
}

static unsigned int hand_out(struct uring_ring *ur, struct ring_event *events, unsigned int max)
{
	unsigned int n = 0;

	while (n < max) {
		if (ur->rest.len == 0) {
			if (ur->pending_next == ur->pending_count)
				break;
			if (!take_received(ur, &ur->pending[ur->pending_next++]))
				continue;
		}
		if (udp_event_take(&ur->rest, &events[n++])) {
			ur->rest.len = 0;
			ur->held[ur->held_count++] = ur->rest_of;
		}
	}
	if (ur->pending_next == ur->pending_count)
		ur->pending_next = ur->pending_count = 0;
	if (ur->any_lost && n < max)
		n += hand_out_lost(ur, events + n, max - n);
	return n;
}

/* ---- waiting ---- */

/*
 * True: the deadline, or a signal. Of a signal the kernel does not tell when it
 * submitted something in the same call, and liburing would go back to sleep if
 * there were no timeout: so there always is one, and what counts is whether
 * anything completed.
 */
static bool enter(struct uring_ring *ur, uint64_t deadline_ns)
{
	struct __kernel_timespec ts = { .tv_sec = NO_DEADLINE_S };
	struct io_uring_cqe *cqe = NULL;

	if (deadline_ns != UINT64_MAX) {
		uint64_t now = deadline_ns ? now_ns() : 0;

		if (deadline_ns <= now) {
			(void)io_uring_submit_and_get_events(&ur->uring);
			return true;
		}
		ts.tv_sec = (int64_t)((deadline_ns - now) / 1000000000u);
		ts.tv_nsec = (long long)((deadline_ns - now) % 1000000000u);
	}
	(void)io_uring_submit_and_wait_timeout(&ur->uring, &cqe, 1, &ts, NULL);
	return !cqe;
}

static unsigned int uring_wait(struct ring *ring, uint64_t deadline_ns, struct ring_event *events,
                               unsigned int max)
{
	struct uring_ring *ur = uring_ring_of(ring);
	unsigned int n, again = 0;
	bool over = false, ready;

	while (ur->held_count > 0)
		buffer_put(ur, &ur->held[--ur->held_count]);
	for (;;) {
		n = hand_out(ur, events, max);
		if (n > 0 || ur->woken || (over && (!want_arm(ur) || again++ > 0)))
			break;
		arm_all(ur);
		ready = any_readable(ur);
		if (enter(ur, over || ready ? 0 : deadline_ns) && !ready)
			over = true;
		reap(ur);
		if (!ur->read_multishot)
			read_all(ur);
	}
	ur->woken = false;
	return n;
}

/* ---- sending ---- */

static void tx_result(struct uring_ring *ur, struct tx *tx)
{
	if (tx->result >= 0)
		return;
	if (tx->type == TAG_WRITE) {
		struct uring_source *source = &ur->sources[SOURCE_TAP + tx->write->port];

		tx->write->error = tx->result;
		/* The device was deleted: a TAP that is merely down says EIO. */
		if (tx->result == -EBADFD)
			source->lost = ur->any_lost = true;
		return;
	}
	udp_send_again(
		udp_send_fd(ur->sources[SOURCE_UDP4].fd, ur->sources[SOURCE_UDP6].fd, tx->send),
		tx->send, -tx->result);
	if (tx->send->gso_fallback)
		ur->careful_until_ns = now_ns() + CAREFUL_NS;
}

static void tx_finish(struct uring_ring *ur)
{
	if (ur->tx_count == 0)
		return;
	(void)io_uring_submit(&ur->uring);
	reap(ur);
	while (ur->tx_done < ur->tx_count) {
		(void)io_uring_submit_and_wait(&ur->uring, 1);
		reap(ur);
	}
	for (unsigned int i = 0; i < ur->tx_count; i++)
		tx_result(ur, &ur->tx[i]);
	ur->tx_count = ur->tx_done = 0;
}

static struct io_uring_sqe *tx_start(struct uring_ring *ur, enum tag_type type, union tag *tag)
{
	if (ur->tx_count == TX_MAX)
		tx_finish(ur);
	*tag = (union tag){ .type = (uint8_t)type, .index = ur->tx_count };
	ur->tx[ur->tx_count].type = type;
	return get_sqe(ur);
}

/* True: in order matters more, see the head. */
static bool be_careful(struct uring_ring *ur)
{
	if (ur->careful_until_ns && now_ns() >= ur->careful_until_ns)
		ur->careful_until_ns = 0;
	return ur->careful_until_ns != 0;
}

static void uring_send(struct ring *ring, struct ring_send *sends, unsigned int n)
{
	struct uring_ring *ur = uring_ring_of(ring);
	int fd4 = ur->sources[SOURCE_UDP4].fd, fd6 = ur->sources[SOURCE_UDP6].fd;
	bool careful = be_careful(ur);

	for (unsigned int i = 0; i < n; i++) {
		struct ring_send *send = &sends[i];
		struct io_uring_sqe *sqe;
		struct tx_message *message;
		union tag tag;
		int fd;

		if (careful) {
			udp_send_all(fd4, fd6, &send, 1);
			continue;
		}
		fd = udp_send_fd(fd4, fd6, send);
		if (fd < 0)
			continue;
		sqe = tx_start(ur, TAG_SEND, &tag);
		message = &ur->messages[ur->tx_count];
		ur->tx[ur->tx_count++].send = send;
		udp_message_fill(&message->msg, &message->iov, message->control, send);
		io_uring_prep_sendmsg(sqe, fd, &message->msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		set_tag(sqe, tag);
	}
}

static void uring_write(struct ring *ring, struct ring_write *writes, unsigned int n)
{
	struct uring_ring *ur = uring_ring_of(ring);

	for (unsigned int i = 0; i < n; i++) {
		struct ring_write *write = &writes[i];
		struct uring_source *source;
		struct io_uring_sqe *sqe;
		union tag tag;

		write->error = -ENODEV;
		if (write->port >= RING_PORTS_MAX)
			continue;
		source = &ur->sources[SOURCE_TAP + write->port];
		if (source->fd < 0 || source->lost)
			continue;
		write->error = 0;
		sqe = tx_start(ur, TAG_WRITE, &tag);
		ur->tx[ur->tx_count++].write = write;
		io_uring_prep_writev(sqe, source->fd, write->iov, write->iov_count, 0);
		sqe->rw_flags = source->write_flags;
		set_tag(sqe, tag);
	}
}

static void uring_flush(struct ring *ring)
{
	tx_finish(uring_ring_of(ring));
}

/* ---- sources ---- */

static int uring_add_tap(struct ring *ring, uint16_t port, int fd)
{
	struct uring_ring *ur = uring_ring_of(ring);

	if (port >= RING_PORTS_MAX || fd < 0)
		return -EINVAL;
	if (ur->sources[SOURCE_TAP + port].fd >= 0)
		return -EEXIST;
	ur->sources[SOURCE_TAP + port].write_flags = ur->old_kernel ? 0 : tap_write_flags(fd);
	return source_start(ur, SOURCE_TAP + port, fd);
}

static void uring_remove_tap(struct ring *ring, uint16_t port)
{
	struct uring_ring *ur = uring_ring_of(ring);

	if (port >= RING_PORTS_MAX)
		return;
	tx_finish(ur);
	source_stop(ur, SOURCE_TAP + port);
}

static int uring_set_udp(struct ring *ring, int fd4, int fd6)
{
	struct uring_ring *ur = uring_ring_of(ring);
	const int fds[] = { [SOURCE_UDP4] = fd4, [SOURCE_UDP6] = fd6 };
	int err = 0;

	tx_finish(ur);
	for (unsigned int s = SOURCE_UDP4; s <= SOURCE_UDP6; s++) {
		if (ur->sources[s].fd == fds[s])
			continue;
		source_stop(ur, s);
		if (fds[s] >= 0 && !err)
			err = source_start(ur, s, fds[s]);
	}
	return err;
}

static void uring_wake(struct ring *ring)
{
	uint64_t one = 1;

	(void)!write(uring_ring_of(ring)->wake_fd, &one, sizeof(one));
}

/* ---- open and close ---- */

static void uring_close(struct ring *ring)
{
	struct uring_ring *ur = uring_ring_of(ring);
	union tag wake = { .type = TAG_WAKE };

	tx_finish(ur);
	/* One by one: closing the ring would let go of them some time later. */
	for (unsigned int s = 0; s < ur->source_end; s++)
		source_stop(ur, s);
	cancel(ur, wake, &ur->wake_armed);
	io_uring_queue_exit(&ur->uring);
	for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
		if (ur->sources[s].memory)
			munmap(ur->sources[s].buffers, BUFFER_RING_SIZE + MEMORY_SIZE);
	}
	close(ur->wake_fd);
	free(ur);
}

static const struct ring_ops uring_ops = {
	.add_tap = uring_add_tap,
	.remove_tap = uring_remove_tap,
	.set_udp = uring_set_udp,
	.wait = uring_wait,
	.send = uring_send,
	.write = uring_write,
	.flush = uring_flush,
	.wake = uring_wake,
	.close = uring_close,
};

static bool has_read_multishot(struct uring_ring *ur)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&ur->uring);
	bool has = probe && io_uring_opcode_supported(probe, URING_OP_READ_MULTISHOT);

	io_uring_free_probe(probe);
	return has;
}

static int uring_setup(struct uring_ring *ur)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		         IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	int err = io_uring_queue_init_params(SQ_ENTRIES, &ur->uring, &params);

	if (err) /* EINVAL: older than 6.1 */
		return err == -EINVAL ? -EOPNOTSUPP : err;
	/* Spares every io_uring_enter() the look-up of the descriptor. */
	(void)io_uring_register_ring_fd(&ur->uring);
	err = source_make_buffers(ur, SOURCE_UDP4);
	if (!err)
		err = source_make_buffers(ur, SOURCE_UDP6);
	if (err)
		io_uring_queue_exit(&ur->uring);
	return err == -EINVAL ? -EOPNOTSUPP : err;
}

int ring_open_uring_as(struct ring **ring, bool old_kernel)
{
	struct uring_ring *ur = calloc(1, sizeof(*ur));
	int err;

	if (!ur)
		return -ENOMEM;
	ur->ring.ops = &uring_ops;
	ur->ring.name = "io_uring";
	ur->shape.msg_namelen = NAME_SIZE;
	ur->shape.msg_controllen = UDP_CONTROL_SIZE;
	for (unsigned int s = 0; s < SOURCE_COUNT; s++)
		ur->sources[s].fd = -1;
	ur->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ur->wake_fd < 0) {
		err = -errno;
		free(ur);
		return err;
	}
	err = uring_setup(ur);
	if (err) {
		for (unsigned int s = 0; s < SOURCE_COUNT; s++) {
			if (ur->sources[s].memory)
				munmap(ur->sources[s].buffers, BUFFER_RING_SIZE + MEMORY_SIZE);
		}
		close(ur->wake_fd);
		free(ur);
		return err;
	}
	ur->old_kernel = old_kernel;
	ur->read_multishot = !old_kernel && has_read_multishot(ur);
	strcpy(ur->ring.features, ur->read_multishot
	                                  ? "multishot recvmsg and read, buffer rings"
	                                  : "multishot recvmsg, buffer rings; no multishot read");
	*ring = &ur->ring;
	return 0;
}

int ring_open_uring(struct ring **ring)
{
	return ring_open_uring_as(ring, false);
}
