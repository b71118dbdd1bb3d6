/* SPDX-License-Identifier: MIT */
/*
 * A round:
 *
 *	wait       frames and datagrams, or the next deadline
 *	run        each through tx_frame() or rx_datagrams() into the burst;
 *	           flushed whenever it is big enough for the cache
 *	timers     what is due; neighbours to be asked again; members to be told things
 *	flush      seal, send, write
 *	handshakes their budget
 *	pause      when what comes makes a better batch together (pace.h)
 *
 * The worker is a reader of quiesce.h: offline while it sleeps, passed at the
 * start of each round. Nothing that it read in one round is used in the next.
 *
 * Other threads talk to it through one mailbox: a function to run between two
 * rounds, whose caller waits. ring_wake() is the door bell.
 */
#include "dataplane/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include "dataplane/announce.h"
#include "dataplane/burst.h"
#include "dataplane/capture.h"
#include "dataplane/handshake.h"
#include "dataplane/neigh.h"
#include "dataplane/pace.h"
#include "dataplane/rx.h"
#include "dataplane/tx.h"

#define QUESTIONS_MAX 16

struct mailbox {
	pthread_mutex_t lock;
	pthread_cond_t done;
	_Atomic bool pending;
	int (*fn)(struct ring *ring, void *arg);
	void *arg;
	int result;
	pthread_mutex_t callers; /* one call at a time */
};

struct worker {
	struct device *device;
	struct ring *ring;
	struct burst *burst;
	struct quiesce_reader *reader;
	uint64_t overflowed; /* ring->overflowed as last counted */
	uint64_t refused; /* and ring->refused */
	struct ring_event events[RING_EVENTS_MAX];
	struct mailbox mailbox;
	uint64_t woken_ns; /* the round under way: when what it does was there, */
	uint32_t packets, bytes; /* and how much that was */

	/* with a thread only */
	pthread_t thread;
	struct pace pace;
	bool realtime; /* the thread has that priority */
	bool stopping; /* the thread's own */
	enum worker_io io;
	int start_result;
	char *why;
	_Atomic bool started;
};

static void flush(struct burst *burst, void *arg)
{
	struct worker *worker = arg;
	struct ring_write *writes;
	unsigned int n;

	if (burst->captures)
		capture_packets(burst);
	burst_seal(burst);
	n = coalesce_finish(burst->coalesce, &writes);
	if (burst->send_count)
		ring_send(worker->ring, burst->sends, burst->send_count);
	if (n)
		ring_write(worker->ring, writes, n);
	if (burst->frame_count)
		ring_write(worker->ring, burst->frames, burst->frame_count);
	if (burst->send_count || burst->frame_count || n)
		ring_flush(worker->ring);
	if (burst->captures)
		capture_sends(burst);
	burst_account_writes(burst, writes, n);
	burst_account(burst);
	burst_reset(burst);
}

static void ask_neighbours(struct burst *burst)
{
	struct neigh_question questions[QUESTIONS_MAX];
	uint64_t earliest = UINT64_MAX, next;

	if (burst->now_ns < burst->neigh_next_ns)
		return;
	for (size_t i = 0; i < burst->view->network_count; i++) {
		struct network *network = burst->view->networks[i].network;
		unsigned int n, lost = 0;

		if (!network->neigh)
			continue;
		n = neigh_tick(network->neigh, burst->now_ns, questions, QUESTIONS_MAX, &next,
		               &lost);
		for (unsigned int q = 0; q < n; q++)
			tx_ask(burst, network, &questions[q]);
		if (lost)
			burst_drop(burst, NULL, network, DROP_IN_UNRESOLVED, lost);
		if (next < earliest)
			earliest = next;
	}
	burst->neigh_next_ns = earliest;
}

/* For whoever chooses the length of the TAP's queue. */
static void count_frame(const struct burst *burst, const struct ring_event *event)
{
	const struct view_network *net =
		event->port < RING_PORTS_MAX ? burst->view->by_port[event->port] : NULL;

	if (!net)
		return;
	stats_add(&net->network->taken, 1);
	stats_add(&net->network->taken_bytes, event->len);
	if (event->last)
		stats_add(&net->network->emptied, 1);
}

static void run_event(struct worker *worker, struct ring_event *event)
{
	struct burst *burst = worker->burst;

	worker->bytes += event->len;
	worker->packets++;
	switch (event->type) {
	case RING_FRAME:
		count_frame(burst, event);
		tx_frame(burst, event->port, event->data, event->len);
		break;
	case RING_DATAGRAM:
		worker->packets += (event->len - 1) / event->segment;
		rx_datagrams(burst, event);
		break;
	case RING_PORT_LOST:
		if (event->port < RING_PORTS_MAX && burst->view->by_port[event->port])
			atomic_store_explicit(&burst->view->by_port[event->port]->network->lost,
			                      true, memory_order_relaxed);
		break;
	}
	if (burst->used >= BURST_FLUSH_BYTES)
		flush(burst, worker);
}

static void take_mail(struct worker *worker)
{
	struct mailbox *mailbox = &worker->mailbox;

	if (!atomic_load_explicit(&mailbox->pending, memory_order_acquire))
		return;
	pthread_mutex_lock(&mailbox->lock);
	mailbox->result = mailbox->fn(worker->ring, mailbox->arg);
	atomic_store_explicit(&mailbox->pending, false, memory_order_relaxed);
	pthread_cond_signal(&mailbox->done);
	pthread_mutex_unlock(&mailbox->lock);
}

uint64_t worker_round(struct worker *worker, uint64_t deadline_ns)
{
	struct device *device = worker->device;
	struct burst *burst = worker->burst;
	unsigned int n;
	bool busy;

	quiesce_offline(worker->reader);
	n = ring_wait(worker->ring, deadline_ns, worker->events, RING_EVENTS_MAX);
	quiesce_pass(&device->quiesce, worker->reader);

	burst->now_ns = device_now(device);
	burst->view = atomic_load_explicit(&device->view, memory_order_acquire);
	worker->woken_ns = burst->now_ns;
	worker->packets = worker->bytes = 0;
	if (burst->captures)
		capture_datagrams(burst, worker->events, n);
	for (unsigned int i = 0; i < n; i++)
		run_event(worker, &worker->events[i]);
	timers_run(burst);
	ask_neighbours(burst);
	announce_run_due(burst);
	flush(burst, worker);
	/*
	 * Behind the flush, which may ask for a new key. By the newest view: timers
	 * may have asked for peers that were published during this round.
	 */
	burst->view = atomic_load_explicit(&device->view, memory_order_acquire);
	busy = handshake_drain(burst);
	flush(burst, worker);

	if (worker->ring->overflowed != worker->overflowed) {
		device_event(device, EVENT_RCV_OVERFLOW,
		             worker->ring->overflowed - worker->overflowed);
		worker->overflowed = worker->ring->overflowed;
	}
	if (worker->ring->refused != worker->refused) {
		burst_drop(burst, NULL, NULL, DROP_RX_MALFORMED,
		           worker->ring->refused - worker->refused);
		/* They were work too, and many of them are a flood. */
		worker->packets += (uint32_t)(worker->ring->refused - worker->refused);
		worker->refused = worker->ring->refused;
	}
	/* Last: of a TAP that is taken away nothing comes up any more. */
	take_mail(worker);
	if (busy)
		return 0;
	deadline_ns = timers_next(&device->timers);
	if (announce_next(burst) < deadline_ns)
		deadline_ns = announce_next(burst);
	return burst->neigh_next_ns < deadline_ns ? burst->neigh_next_ns : deadline_ns;
}

struct worker *worker_create(struct device *device, struct ring *ring)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->device = device;
	worker->ring = ring;
	worker->reader = quiesce_add_reader(&device->quiesce);
	worker->burst = burst_open(device);
	if (!worker->reader || !worker->burst) {
		if (worker->reader)
			quiesce_remove_reader(&device->quiesce, worker->reader);
		if (worker->burst)
			burst_close(worker->burst);
		free(worker);
		return NULL;
	}
	worker->burst->flush = flush;
	worker->burst->flush_arg = worker;
	pthread_mutex_init(&worker->mailbox.lock, NULL);
	pthread_mutex_init(&worker->mailbox.callers, NULL);
	pthread_cond_init(&worker->mailbox.done, NULL);
	return worker;
}

void worker_destroy(struct worker *worker)
{
	quiesce_remove_reader(&worker->device->quiesce, worker->reader);
	burst_close(worker->burst);
	pthread_mutex_destroy(&worker->mailbox.lock);
	pthread_mutex_destroy(&worker->mailbox.callers);
	pthread_cond_destroy(&worker->mailbox.done);
	free(worker);
}

static int open_ring(struct worker *worker)
{
	int err = -EOPNOTSUPP;

	if (worker->io != WORKER_IO_POLL) {
		err = ring_open_uring(&worker->ring);
		if (err)
			snprintf(worker->why, 160, "io_uring: %s", strerror(-err));
	}
	if (err && worker->io != WORKER_IO_URING)
		err = ring_open_poll(&worker->ring);
	return err;
}

static void report_start(struct worker *worker, int result)
{
	pthread_mutex_lock(&worker->mailbox.lock);
	worker->start_result = result;
	atomic_store_explicit(&worker->started, true, memory_order_relaxed);
	pthread_cond_signal(&worker->mailbox.done);
	pthread_mutex_unlock(&worker->mailbox.lock);
}

/* Of the calling thread. The lowest realtime priority is above all that have none. */
static int set_priority(struct worker *worker, bool realtime)
{
	const int policy = realtime ? SCHED_RR : SCHED_OTHER;
	const struct sched_param lowest = { .sched_priority = sched_get_priority_min(policy) };

	if (realtime == worker->realtime)
		return 0;
	if (sched_setscheduler(0, policy, &lowest) < 0)
		return -errno;
	worker->realtime = realtime;
	return 0;
}

/* The round is over: others have the processor, and work gathers, for as long as that pays. */
static void rest(struct worker *worker)
{
	struct timespec pause = { .tv_sec = 0 };

	pace_begin(&worker->pace, worker->woken_ns);
	pause.tv_nsec = (long)pace_end(&worker->pace, device_now(worker->device), worker->packets,
	                               worker->bytes, worker->ring->more);
	if (set_priority(worker, pace_is_realtime(&worker->pace)))
		worker->pace.realtime = false; /* it is not allowed any more */
	if (!pause.tv_nsec)
		return;
	quiesce_offline(worker->reader);
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	uint64_t deadline_ns = 0;
	sigset_t all;
	int err;

	/* Signals are the control thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	/* Pauses are shorter than the 50 us by which the kernel may lengthen them. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	err = open_ring(worker);
	report_start(worker, err);
	if (err)
		return NULL;
	while (!worker->stopping) {
		if (pace_is_polling(&worker->pace)) {
			deadline_ns = 0;
			/* Who was put on this processor beside us may be who the packet is for. */
			(void)sched_yield();
		}
		deadline_ns = worker_round(worker, deadline_ns);
		rest(worker);
	}
	/* What the kernel has given to us nobody else gets. */
	ring_drain(worker->ring);
	while (worker->ring->more)
		(void)worker_round(worker, 0);
	quiesce_offline(worker->reader);
	ring_close(worker->ring);
	return NULL;
}

int worker_start(struct worker **out, struct device *device, enum worker_io io, char *why)
{
	struct worker *worker = worker_create(device, NULL);
	int err;

	if (!worker)
		return -ENOMEM;
	worker->io = io;
	worker->why = why;
	why[0] = '\0';
	err = -pthread_create(&worker->thread, NULL, run, worker);
	if (err) {
		worker_destroy(worker);
		return err;
	}
	pthread_setname_np(worker->thread, "ovltund/worker");
	pthread_mutex_lock(&worker->mailbox.lock);
	while (!atomic_load_explicit(&worker->started, memory_order_relaxed))
		pthread_cond_wait(&worker->mailbox.done, &worker->mailbox.lock);
	err = worker->start_result;
	pthread_mutex_unlock(&worker->mailbox.lock);
	if (err) {
		pthread_join(worker->thread, NULL);
		worker_destroy(worker);
		return err;
	}
	*out = worker;
	return 0;
}

int worker_call(struct worker *worker, int (*fn)(struct ring *ring, void *arg), void *arg)
{
	struct mailbox *mailbox = &worker->mailbox;
	int result;

	pthread_mutex_lock(&mailbox->callers);
	pthread_mutex_lock(&mailbox->lock);
	mailbox->fn = fn;
	mailbox->arg = arg;
	atomic_store_explicit(&mailbox->pending, true, memory_order_release);
	ring_wake(worker->ring);
	while (atomic_load_explicit(&mailbox->pending, memory_order_relaxed))
		pthread_cond_wait(&mailbox->done, &mailbox->lock);
	result = mailbox->result;
	pthread_mutex_unlock(&mailbox->lock);
	pthread_mutex_unlock(&mailbox->callers);
	return result;
}

static int stop(struct ring *ring, void *arg)
{
	struct worker *worker = arg;

	(void)ring;
	worker->stopping = true;
	return 0;
}

/*
 * By a call, as that is done with the ring when the worker takes it: a flag and
 * then a ring_wake() would come to a ring that the thread has closed already.
 */
void worker_stop(struct worker *worker)
{
	(void)worker_call(worker, stop, worker);
	pthread_join(worker->thread, NULL);
	worker_destroy(worker);
}

struct pace_call {
	struct worker *worker;
	bool realtime;
	uint64_t busy_poll_ns;
};

static int take_pace(struct ring *ring, void *arg)
{
	const struct pace_call *call = arg;
	struct worker *worker = call->worker;
	int err = set_priority(worker, call->realtime);

	(void)ring;
	worker->pace.realtime = call->realtime && !err;
	worker->pace.busy_poll_ns = call->busy_poll_ns;
	return err;
}

int worker_set_pace(struct worker *worker, bool realtime, uint64_t busy_poll_ns)
{
	struct pace_call call = {
		.worker = worker,
		.realtime = realtime,
		.busy_poll_ns = busy_poll_ns,
	};

	return worker_call(worker, take_pace, &call);
}

void worker_add_capture(struct worker *worker, struct capture *capture)
{
	capture->next = worker->burst->captures;
	worker->burst->captures = capture;
}

void worker_remove_capture(struct worker *worker, const struct capture *capture)
{
	struct capture **at = &worker->burst->captures;

	while (*at && *at != capture)
		at = &(*at)->next;
	if (*at)
		*at = capture->next;
}

void worker_want_session(struct worker *worker, const uint8_t public_key[KEY_SIZE])
{
	struct burst *burst = worker->burst;
	struct peer *peer = view_find_peer(burst->view, public_key);

	if (peer)
		handshake_want(burst, peer);
}

void worker_kick(struct worker *worker)
{
	ring_wake(worker->ring);
}

const char *worker_io_name(const struct worker *worker)
{
	return worker->ring->name;
}

const char *worker_io_features(const struct worker *worker)
{
	return worker->ring->features;
}
