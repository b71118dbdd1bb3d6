/* SPDX-License-Identifier: MIT */
/*
 * The io_uring backend, for Linux 6.1 and newer; the only user of liburing. One
 * system call sleeps, arms what has to be armed and receives the datagrams; what
 * is done by other calls, and why, is in ring_base.h.
 *
 * Each socket has a buffer ring and a multishot recvmsg that the kernel feeds
 * from it. As many buffers are provided as make a batch of what the socket
 * usually brings; they come back last in, first out, when the batch has been
 * handed out, which keeps the set in use small and in the cache. Out of buffers
 * the kernel ends the request (ENOBUFS) and the next wait arms it again: nothing
 * is lost by that, datagrams wait in the socket.
 *
 * TAPs have a multishot poll. It tells of changes, not of a state, so a TAP is
 * ready from then on until a read finds it empty. The wake-up is one more poll.
 *
 * Nothing can overflow: the completion queue holds every buffer, one end for
 * every request and more, and whatever completed is taken out before the next
 * call. With DEFER_TASKRUN nothing completes but within our own calls.
 *
 * What a filter of system calls cannot see, the ring itself refuses: it starts
 * disabled, is told which operations, flags and registrations there will be, and
 * takes no others from then on. Enabling makes the thread that does it the single
 * issuer.
 *
 * No registered files: their table would hold on to a TAP beyond its close, the
 * device would outlive its port and its name be taken. For the same reason
 * requests are cancelled, and their end awaited, before a descriptor is let go.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "dataplane/ring_base.h"
#include "dataplane/udp.h"

#define BUFFERS          32u /* of each socket; a power of two */
#define MEMORY_SIZE      ((size_t)BUFFERS * RING_BUFFER_STRIDE)
#define BUFFER_RING_SIZE ((size_t)4096)
#define SQ_ENTRIES       128u /* all sources, the wake-up and a cancellation fit */
#define CQ_ENTRIES       512u
/* Stands for "no deadline": about thirty years. */
#define LONG_SLEEP_S 1000000000

/* Room for the name before a datagram; with it, bodies of messages lie on a cache line. */
#define NAME_SIZE 32u

_Static_assert(SOURCE_COUNT + 2 < SQ_ENTRIES, "arming never waits for room");
_Static_assert(2 * BUFFERS + 2 * SOURCE_COUNT < CQ_ENTRIES, "no overflow");
_Static_assert(2 * BUFFERS <= RING_EVENTS_MAX, "datagrams of a batch");
_Static_assert(BUFFERS * sizeof(struct io_uring_buf) <= BUFFER_RING_SIZE, "buffer ring");

enum tag_type {
	TAG_WAKE,
	TAG_SOURCE, /* recvmsg or poll of the source */
	TAG_CANCEL,
};

union tag {
	struct {
		uint32_t type; /* enum tag_type */
		uint32_t source;
	};
	uint64_t bits;
};
_Static_assert(sizeof(union tag) == sizeof(uint64_t), "user_data");

struct uring_buffers {
	uint8_t *memory; /* BUFFERS of RING_BUFFER_STRIDE */
	struct io_uring_buf_ring *ring;
	unsigned int provided;
	unsigned int free_count;
	uint16_t free[BUFFERS]; /* a stack */
	unsigned int used_count;
	uint16_t used[BUFFERS]; /* by the batch */
};

struct uring_ring {
	struct ring_base base;
	struct io_uring uring;
	struct msghdr shape; /* of every recvmsg: room for name and control */
	bool armed[SOURCE_COUNT]; /* a request is with the kernel */
	bool wake_armed;
	bool woken;
	bool cancel_done;
	struct uring_buffers buffers[SOURCE_TAP]; /* of the sockets */
};

static struct uring_ring *uring_ring_of(struct ring_base *base)
{
	return (struct uring_ring *)base;
}

/* ---- buffers ---- */

static uint8_t *buffer_at(struct uring_buffers *buffers, unsigned int buffer)
{
	return buffers->memory + (size_t)buffer * RING_BUFFER_STRIDE;
}

static void buffers_provide(struct uring_buffers *buffers, const struct ring_source *source)
{
	unsigned int wanted = ring_base_fit(source, RING_BATCH_BYTES);
	int added = 0;

	while (buffers->provided < wanted && buffers->free_count > 0) {
		uint16_t buffer = buffers->free[--buffers->free_count];

		io_uring_buf_ring_add(buffers->ring, buffer_at(buffers, buffer), RING_BUFFER_SIZE,
		                      buffer, BUFFERS - 1, added++);
		buffers->provided++;
	}
	if (added)
		io_uring_buf_ring_advance(buffers->ring, added);
}

/* The batch has been handed out, and its time is over. */
static void buffers_take_back(struct uring_buffers *buffers)
{
	while (buffers->used_count > 0)
		buffers->free[buffers->free_count++] = buffers->used[--buffers->used_count];
}

static int buffers_make(struct uring_ring *ur, unsigned int s)
{
	struct uring_buffers *buffers = &ur->buffers[s];
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = (uint16_t)s };
	uint8_t *memory;
	int err;

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
	buffers->ring = (struct io_uring_buf_ring *)(void *)memory;
	buffers->memory = memory + BUFFER_RING_SIZE;
	for (uint16_t i = 0; i < BUFFERS; i++)
		buffers->free[buffers->free_count++] = (uint16_t)(BUFFERS - 1 - i);
	return 0;
}

/* ---- completions ---- */

/* Splits what the kernel wrote: struct io_uring_recvmsg_out, name, control, datagram. */
static void complete_datagram(struct uring_ring *ur, unsigned int s, const struct io_uring_cqe *cqe)
{
	struct uring_buffers *buffers = &ur->buffers[s];
	uint16_t index = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	uint8_t *buffer = buffer_at(buffers, index);
	struct msghdr msg = { .msg_iovlen = 0 };
	struct io_uring_recvmsg_out *out;

	buffers->provided--;
	buffers->used[buffers->used_count++] = index;
	out = io_uring_recvmsg_validate(buffer, cqe->res, &ur->shape);
	if (!out)
		return;
	msg.msg_name = io_uring_recvmsg_name(out);
	msg.msg_namelen = out->namelen < NAME_SIZE ? out->namelen : NAME_SIZE;
	msg.msg_control = buffer + sizeof(*out) + NAME_SIZE;
	msg.msg_controllen =
		out->controllen < UDP_CONTROL_SIZE ? out->controllen : UDP_CONTROL_SIZE;
	msg.msg_flags = (int)out->flags;
	ring_base_add_datagram(&ur->base, s, &msg, io_uring_recvmsg_payload(out, &ur->shape),
	                       io_uring_recvmsg_payload_length(out, cqe->res, &ur->shape));
}

static void complete(struct uring_ring *ur, const struct io_uring_cqe *cqe)
{
	union tag tag = { .bits = cqe->user_data };
	bool more = cqe->flags & IORING_CQE_F_MORE;

	switch ((enum tag_type)tag.type) {
	case TAG_WAKE:
		ur->wake_armed = more;
		ur->woken = true;
		ring_base_wake_done(&ur->base);
		break;
	case TAG_SOURCE:
		ur->armed[tag.source] = more;
		if (cqe->flags & IORING_CQE_F_BUFFER)
			complete_datagram(ur, tag.source, cqe);
		else if (tag.source >= SOURCE_TAP)
			ur->base.sources[tag.source].ready = cqe->res > 0;
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

	io_uring_for_each_cqe(&ur->uring, head, cqe)
	{
		complete(ur, cqe);
		n++;
	}
	io_uring_cq_advance(&ur->uring, n);
}

/* ---- requests ---- */

static struct io_uring_sqe *get_sqe(struct uring_ring *ur)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ur->uring);

	while (!sqe) { /* what was left from a call that failed */
		(void)io_uring_submit(&ur->uring);
		sqe = io_uring_get_sqe(&ur->uring);
	}
	return sqe;
}

static void arm_source(struct uring_ring *ur, unsigned int s)
{
	union tag tag = { .type = TAG_SOURCE, .source = s };
	int fd = ur->base.sources[s].fd;
	struct io_uring_sqe *sqe;

	if (s < SOURCE_TAP)
		buffers_provide(&ur->buffers[s], &ur->base.sources[s]);
	if (ur->armed[s])
		return;
	sqe = get_sqe(ur);
	if (s < SOURCE_TAP) {
		io_uring_prep_recvmsg_multishot(sqe, fd, &ur->shape, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = (uint16_t)s;
	} else {
		io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	}
	sqe->user_data = tag.bits;
	ur->armed[s] = true;
}

static void arm_all(struct uring_ring *ur)
{
	if (!ur->wake_armed) {
		union tag tag = { .type = TAG_WAKE };
		struct io_uring_sqe *sqe = get_sqe(ur);

		io_uring_prep_poll_multishot(sqe, ur->base.wake_fd, POLLIN);
		sqe->user_data = tag.bits;
		ur->wake_armed = true;
	}
	for (unsigned int s = 0; s < ur->base.source_end; s++) {
		if (ur->base.sources[s].fd >= 0)
			arm_source(ur, s);
	}
}

/* The end of what is cancelled may come after the cancellation's own completion: then again. */
static void cancel(struct uring_ring *ur, union tag what, const bool *armed)
{
	union tag tag = { .type = TAG_CANCEL };

	while (*armed) {
		struct io_uring_sqe *sqe = get_sqe(ur);

		io_uring_prep_cancel64(sqe, what.bits, 0);
		sqe->user_data = tag.bits;
		ur->cancel_done = false;
		while (!ur->cancel_done) {
			(void)io_uring_submit_and_wait(&ur->uring, 1);
			reap(ur);
		}
	}
}

/* ---- hooks ---- */

static int uring_start(struct ring_base *base, unsigned int s)
{
	(void)base;
	(void)s;
	return 0; /* the next wait arms it */
}

static void uring_stop(struct ring_base *base, unsigned int s)
{
	struct uring_ring *ur = uring_ring_of(base);
	union tag tag = { .type = TAG_SOURCE, .source = s };

	cancel(ur, tag, &ur->armed[s]);
}

/*
 * True: the deadline, or a signal. Of a signal the kernel does not tell when it
 * submitted something in the same call, and liburing would go back to sleep if
 * there were no timeout: so there always is one, and what counts is whether
 * anything completed.
 */
static bool enter(struct uring_ring *ur, uint64_t deadline_ns)
{
	struct __kernel_timespec ts = { .tv_sec = LONG_SLEEP_S };
	struct io_uring_cqe *cqe = NULL;

	if (deadline_ns != UINT64_MAX) {
		uint64_t now_ns = deadline_ns ? ring_base_now_ns() : 0;

		if (deadline_ns <= now_ns) {
			(void)io_uring_submit_and_get_events(&ur->uring);
			return !io_uring_cq_ready(&ur->uring);
		}
		ts.tv_sec = (int64_t)((deadline_ns - now_ns) / 1000000000u);
		ts.tv_nsec = (long long)((deadline_ns - now_ns) % 1000000000u);
	}
	(void)io_uring_submit_and_wait_timeout(&ur->uring, &cqe, 1, &ts, NULL);
	return !cqe;
}

static bool uring_await(struct ring_base *base, uint64_t deadline_ns)
{
	struct uring_ring *ur = uring_ring_of(base);
	bool ready = false, over;

	for (unsigned int s = 0; s < SOURCE_TAP; s++)
		buffers_take_back(&ur->buffers[s]);
	for (unsigned int s = SOURCE_TAP; s < base->source_end; s++)
		ready |= base->sources[s].ready;
	arm_all(ur);
	over = enter(ur, ready ? 0 : deadline_ns) && !ready;
	/* After so many datagrams a request lets others go before, and has not gone on yet. */
	base->left |= IO_URING_READ_ONCE(*ur->uring.sq.kflags) & IORING_SQ_TASKRUN;
	reap(ur);
	/* A request that has ended had no buffer left for the next datagram. */
	for (unsigned int s = 0; s < SOURCE_TAP; s++)
		base->left |= base->sources[s].fd >= 0 && !ur->armed[s];
	over |= ur->woken;
	ur->woken = false;
	return over;
}

static void uring_close(struct ring_base *base)
{
	struct uring_ring *ur = uring_ring_of(base);
	union tag wake = { .type = TAG_WAKE };

	cancel(ur, wake, &ur->wake_armed);
	io_uring_queue_exit(&ur->uring);
	for (unsigned int s = 0; s < SOURCE_TAP; s++) {
		if (ur->buffers[s].memory)
			munmap(ur->buffers[s].ring, BUFFER_RING_SIZE + MEMORY_SIZE);
	}
}

static const struct ring_base_hooks uring_hooks = {
	.start = uring_start,
	.stop = uring_stop,
	.await = uring_await,
	.close = uring_close,
};

/* ---- open ---- */

static int setup(struct uring_ring *ur)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		         IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
		         IORING_SETUP_R_DISABLED,
		.cq_entries = CQ_ENTRIES,
	};
	int err = io_uring_queue_init_params(SQ_ENTRIES, &ur->uring, &params);

	/* Spares every io_uring_enter() the look-up of the descriptor. */
	if (!err)
		(void)io_uring_register_ring_fd(&ur->uring);
	return err;
}

/* For what liburing 2.3 declares, but does not export. */
static int register_past(struct io_uring *uring, unsigned int what, void *arg, unsigned int count)
{
	return syscall(__NR_io_uring_register, uring->ring_fd, what, arg, count) < 0 ? -errno : 0;
}

/* Behind everything that is registered; nothing can be submitted before. */
static int restrict_and_enable(struct uring_ring *ur)
{
	struct io_uring_restriction allowed[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_RECVMSG },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ASYNC_CANCEL },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		  .sqe_flags = IOSQE_BUFFER_SELECT },
		/* io_uring_queue_exit() */
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_UNREGISTER_RING_FDS },
	};
	int err = register_past(&ur->uring, IORING_REGISTER_RESTRICTIONS, allowed,
	                        sizeof(allowed) / sizeof(allowed[0]));

	return err ? err : register_past(&ur->uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int ring_open_uring(struct ring **ring)
{
	struct uring_ring *ur = calloc(1, sizeof(*ur));
	int err;

	if (!ur)
		return -ENOMEM;
	err = setup(ur);
	if (err) {
		free(ur);
		return err == -EINVAL ? -EOPNOTSUPP : err; /* older than 6.1 */
	}
	ur->shape.msg_namelen = NAME_SIZE;
	ur->shape.msg_controllen = UDP_CONTROL_SIZE;
	err = ring_base_open(&ur->base, "io_uring", &uring_hooks);
	if (err) {
		io_uring_queue_exit(&ur->uring);
		free(ur);
		return err;
	}
	for (unsigned int s = 0; s < SOURCE_TAP && !err; s++)
		err = buffers_make(ur, s);
	if (!err)
		err = restrict_and_enable(ur);
	if (err) {
		ring_close(&ur->base.ring);
		return err == -EINVAL ? -EOPNOTSUPP : err;
	}
	snprintf(ur->base.ring.features, sizeof(ur->base.ring.features),
	         "multishot recvmsg and poll, buffer rings, sendmmsg");
	*ring = &ur->base.ring;
	return 0;
}
