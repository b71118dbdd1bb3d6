/* SPDX-License-Identifier: MIT */
#include "ctl/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/log.h"

#ifndef F_SEAL_FUTURE_WRITE /* Linux 5.1 */
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

struct capture_run {
	unsigned int number;
	uint8_t *memory;
	size_t size;
	size_t share; /* of it: a worker's */
	uint8_t public_key[KEY_SIZE]; /* of the peer that a new session is wanted with */
	unsigned int workers;
	struct capture captures[WORKERS_MAX];
};

struct call {
	const struct state *state;
	struct capture_run *run;
};

static int fail(char *error, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(char *error, int ret, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(error, CAPTURE_ERROR_MAX, format, args);
	va_end(args);
	return ret;
}

/*
 * All of it now, not by page faults of workers: they would wait, and be ended by a signal
 * if there were no memory left. MAP_POPULATE would do nothing where all memory is locked as
 * it is used (isolate.c).
 */
static int populate(uint8_t *memory, size_t size)
{
	if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	for (size_t at = 0; at < size; at += CAPTURE_HEAD) /* Linux before 5.14 */
		*(volatile uint8_t *)(memory + at) = 0;
	return 0;
}

/*
 * Both sides have mapped it: from now on it is written to by those mappings alone, and so
 * nobody takes pages out of it either. A Linux before 5.1 cannot do that: there a page
 * that is gone costs a worker a page fault.
 */
static int seal(int fd)
{
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0 || errno == EINVAL)
		return 0;
	return -errno;
}

/*
 * Memory whose size can change would end this process by a signal when it did, and a
 * file's could make a worker wait. A memfd that is sealed can do neither. Out of one that
 * may be written to pages can be punched all the same, and of huge ones there may be none
 * left to put in their place, which is the same signal.
 */
static int map_memory(struct capture_run *run, int fd, char *error)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS), err;
	struct stat st;

	if (seals < 0 || (seals & (wanted | F_SEAL_SEAL)) != wanted || fstat(fd, &st) < 0)
		return fail(error, -EINVAL, "expected a memfd whose size is sealed, and no more");
	if (st.st_size > CAPTURE_MEMORY_MAX ||
	    st.st_size < (off_t)(CAPTURE_HEAD + CAPTURE_RING_MIN) * (off_t)run->workers)
		return fail(error, -EINVAL, "expected memory of %u to %u bytes for %u workers",
		            (CAPTURE_HEAD + CAPTURE_RING_MIN) * run->workers, CAPTURE_MEMORY_MAX,
		            run->workers);
	run->size = (size_t)st.st_size;
	run->memory = mmap(NULL, run->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = run->memory == MAP_FAILED ? -errno : seal(fd);
	if (!err)
		err = populate(run->memory, run->size);
	if (!err)
		return 0;
	if (run->memory != MAP_FAILED)
		munmap(run->memory, run->size);
	return fail(error, err, "cannot map the memory: %s", strerror(-err));
}

/* What the order comes to. */
struct wish {
	struct capture_filter filter;
	const struct config_network *network; /* it is of this one, */
	const struct config_peer *peer; /* or this one; both NULL: of all */
};

static bool get_bool(const json_t *request, const char *key)
{
	return json_is_true(json_object_get(request, key));
}

static int find_subject(const struct state *state, const char *text, struct wish *wish, char *error)
{
	struct config_error unknown = { .line = 0 };
	const struct config *config = state->config;

	for (size_t i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].name, text) == 0)
			wish->network = &config->networks[i];
	wish->peer = config_find_peer_text(config, text, &unknown);
	if (!wish->network && !wish->peer)
		return fail(error, -EINVAL, "no network \"%s\", and %s", text, unknown.text);
	if (wish->network && wish->peer)
		return fail(error, -EINVAL, "\"%s\" is a network and a peer: give the peer's key",
		            text);
	if (wish->network && wish->filter.what & CAPTURE_OUTER)
		return fail(error, -EINVAL,
		            "a datagram does not say of which network it is: outer packets are of "
		            "a peer, or of all");
	if (wish->network)
		(void)snprintf(wish->filter.network, CAPTURE_NAME, "%s", text);
	if (wish->peer) {
		wish->filter.has_peer = true;
		memcpy(wish->filter.peer, wish->peer->public_key, KEY_SIZE);
	}
	return 0;
}

static int read_order(const struct state *state, const json_t *request, struct wish *wish,
                      char *error)
{
	json_int_t snaplen = json_integer_value(json_object_get(request, "snaplen"));
	const json_t *of = json_object_get(request, "of");

	*wish = (struct wish){ .network = NULL };
	if (json_integer_value(json_object_get(request, "layout")) != CAPTURE_LAYOUT)
		return fail(error, -EINVAL, "this ovlctl and the daemon are of different versions");
	if (snaplen < 1 || snaplen > CAPTURE_SNAPLEN_MAX)
		return fail(error, -EINVAL, "snaplen: expected 1 to %u bytes", CAPTURE_SNAPLEN_MAX);
	wish->filter.snaplen = (uint32_t)snaplen;
	wish->filter.what = (get_bool(request, "inner") ? CAPTURE_INNER : 0u) |
	                    (get_bool(request, "outer") ? CAPTURE_OUTER : 0u) |
	                    (get_bool(request, "keys") ? CAPTURE_KEYS : 0u);
	if (!of)
		return 0;
	return json_is_string(of) ? find_subject(state, json_string_value(of), wish, error)
	                          : fail(error, -EINVAL, "of: expected a text");
}

/* Who is shown what, for the log: it is content. */
static void tell_begin(const struct capture_run *run, const struct wish *wish, int client)
{
	const bool inner = wish->filter.what & CAPTURE_INNER;
	const bool outer = wish->filter.what & CAPTURE_OUTER;
	char subject[STATE_LABEL_MAX + 16] = "all", label[STATE_LABEL_MAX];
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(who);

	if (wish->network) {
		(void)snprintf(subject, sizeof(subject), "network %s", wish->network->name);
	} else if (wish->peer) {
		state_label_peer(wish->peer, label);
		(void)snprintf(subject, sizeof(subject), "peer %s", label);
	}
	(void)getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size);
	log_line("capture %u begins: %s%s%s packets%s of %s, for process %d of user %u",
	         run->number, inner ? "inner" : "", inner && outer ? " and " : "",
	         outer ? "outer" : "", wish->filter.what & CAPTURE_KEYS ? ", and keys," : "",
	         subject, (int)who.pid, (unsigned int)who.uid);
}

static int add(struct ring *ring, unsigned int i, void *arg)
{
	const struct call *call = arg;

	(void)ring;
	worker_add_capture(call->state->workers.list[i], &call->run->captures[i]);
	return 0;
}

static int take_off(struct ring *ring, unsigned int i, void *arg)
{
	const struct call *call = arg;

	(void)ring;
	worker_remove_capture(call->state->workers.list[i], &call->run->captures[i]);
	return 0;
}

/* By one worker, when all are looking. */
static int want_session(struct ring *ring, unsigned int i, void *arg)
{
	const struct call *call = arg;

	(void)ring;
	if (i == 0)
		worker_want_session(call->state->workers.list[i], call->run->public_key);
	return 0;
}

static int begin(struct state *state, const struct wish *wish, int memory, struct capture_run **out,
                 char *error)
{
	struct capture_run *run;
	int ret;

	if (state->captures == CAPTURE_RUNS_MAX)
		return fail(error, -EBUSY, "%u captures are on already, and no more can be",
		            CAPTURE_RUNS_MAX);
	if (!state->workers.count)
		return fail(error, -EBUSY, "no worker runs");
	run = calloc(1, sizeof(*run));
	if (!run)
		return fail(error, -ENOMEM, "out of memory");
	run->workers = state->workers.count;
	ret = map_memory(run, memory, error);
	if (ret) {
		free(run);
		return ret;
	}
	run->share = run->size / run->workers & ~(size_t)(CAPTURE_HEAD - 1);
	memcpy(run->public_key, wish->filter.peer, KEY_SIZE);
	for (unsigned int i = 0; i < run->workers; i++)
		capture_init(&run->captures[i], &wish->filter, run->memory + i * run->share,
		             run->share);
	run->number = ++state->captures_made;
	state->captures++;
	*out = run;
	return 0;
}

int capture_begin(struct state *state, const struct capture_order *order, struct capture_run **run,
                  json_t **reply, char *error)
{
	struct call call = { .state = state };
	struct wish wish;
	int ret = read_order(state, order->request, &wish, error);

	if (!ret)
		ret = begin(state, &wish, order->memory, run, error);
	if (ret)
		return ret;
	tell_begin(*run, &wish, order->client);
	call.run = *run;
	(void)workers_call(&state->workers, add, &call);
	if (wish.peer && wish.filter.what & CAPTURE_KEYS) {
		(void)workers_call(&state->workers, want_session, &call);
		workers_kick(&state->workers);
	}
	*reply = json_pack("{s:b, s:i, s:I, s:s?, s:s?}", "ok", 1, "rings", (int)(*run)->workers,
	                   "ring_size", (json_int_t)(*run)->share, "network",
	                   wish.network ? wish.network->name : NULL, "peer",
	                   wish.peer ? wish.peer->name : NULL);
	return 0;
}

void capture_end(struct state *state, struct capture_run *run)
{
	struct call call = { .state = state, .run = run };
	uint64_t packets = 0, lost = 0;

	(void)workers_call(&state->workers, take_off, &call);
	for (unsigned int i = 0; i < run->workers; i++) {
		packets += run->captures[i].packets;
		lost += run->captures[i].lost;
	}
	log_line("capture %u ends: %llu packets, %llu that did not fit", run->number,
	         (unsigned long long)packets, (unsigned long long)lost);
	/* What lies there is still the client's to read, if it is there. */
	munmap(run->memory, run->size);
	free(run);
	state->captures--;
}
