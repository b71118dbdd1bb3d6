/* SPDX-License-Identifier: MIT */
/*
 * capture: packets into a pcapng file. The daemon's workers put them into memory that
 * is made here (dataplane/capture.h); here they are taken out, every few milliseconds,
 * and written. However slowly that goes, the daemon does not wait: what finds no room is
 * missing, and its number is told in the file and at the end.
 */
#include "ctl/ovlctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/buffer.h"
#include "ctl/capture_writer.h"
#include "ctl/client.h"
#include "ctl/pcapng.h"
#include "ctl/text.h"
#include "dataplane/capture.h"

#define MEMORY     (32u << 20) /* for all workers */
#define SECOND_NS  1000000000ULL
#define OUT_MAX    (8u << 20)
#define OUT_ENOUGH (1u << 20) /* is written at once */
#define RINGS_MAX  16
/* How long between two looks, when there is nothing; twice as long each time. */
#define SLEEP_MS_MIN 2
#define SLEEP_MS_MAX 32

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 0x0008u
#endif

struct ring_view {
	struct capture_ring *ring;
	uint8_t *records;
	uint64_t room;
	uint64_t head; /* as it was at the beginning of the look */
	uint64_t tail;
};

struct order {
	const char *of; /* NULL: all */
	const char *path; /* NULL: standard output */
	bool inner, outer, keys;
	uint32_t snaplen;
	uint64_t count; /* UINT64_MAX: no end */
};

struct capture_state {
	struct order order;
	int fd; /* of the file */
	const char *name; /* of it, for people */
	bool regular;
	off_t whole; /* bytes of whole blocks in it */
	uint64_t bytes;
	uint8_t *memory;
	int connection; /* to the daemon; -1: none */
	struct ring_view rings[RINGS_MAX];
	unsigned int ring_count;
	struct capture_writer *writer;
	struct buffer out;
};

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals = signals + 1;
}

/* Ctrl-C ends a capture well; a second one also while nobody reads what is written. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = count_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- the file ---- */

/* A file that is there keeps mode and owner, and is no place for keys when others may read it. */
static int open_file(struct capture_state *state)
{
	const struct order *order = &state->order;
	struct stat st;

	state->fd = STDOUT_FILENO;
	state->name = "standard output";
	if (order->path) {
		state->name = order->path;
		state->fd = open(order->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	} else if (isatty(STDOUT_FILENO)) {
		fputs("ovlctl: packets are nothing for a terminal: -w FILE, or "
		      "| wireshark -k -i -\n",
		      stderr);
		return OVLCTL_USAGE;
	}
	if (state->fd < 0 || fstat(state->fd, &st) < 0) {
		fprintf(stderr, "ovlctl: %s: %s\n", state->name, strerror(errno));
		return OVLCTL_FAILED;
	}
	state->regular = S_ISREG(st.st_mode);
	if (order->keys && state->regular &&
	    (st.st_mode & (S_IRWXG | S_IRWXO) || (order->path && st.st_uid != geteuid()))) {
		fprintf(stderr,
		        "ovlctl: %s: others may read it, and keys would be in it: chmod 600, or "
		        "another file\n",
		        state->name);
		return OVLCTL_USAGE;
	}
	if (order->path && state->regular && ftruncate(state->fd, 0) < 0) {
		fprintf(stderr, "ovlctl: %s: %s\n", state->name, strerror(errno));
		return OVLCTL_FAILED;
	}
	state->whole = state->regular ? lseek(state->fd, 0, SEEK_CUR) : 0;
	return OVLCTL_OK;
}

/* Full, or gone: what is in the file stays a good one, up to its last whole block. */
static int give_up(struct capture_state *state, size_t written, int error)
{
	state->whole += (off_t)pcapng_whole(state->out.data, written);
	if (state->regular && ftruncate(state->fd, state->whole) < 0)
		fprintf(stderr, "ovlctl: %s: %s\n", state->name, strerror(errno));
	/* Who looked at it has seen enough. */
	if (error == EPIPE)
		return -EPIPE;
	fprintf(stderr, "ovlctl: %s: %s; what is there up to then is whole\n", state->name,
	        strerror(error));
	return -error;
}

/* Writes what has gathered. 0 or -errno, and said. */
static int write_out(struct capture_state *state)
{
	struct buffer *out = &state->out;
	size_t written = 0;

	while (written < out->len) {
		ssize_t n = write(state->fd, out->data + written, out->len - written);

		if (n < 0 && errno == EINTR && signals < 2)
			continue;
		if (n < 0)
			return give_up(state, written, errno);
		written += (size_t)n;
	}
	state->whole += (off_t)out->len;
	state->bytes += out->len;
	if (state->order.keys)
		secret_wipe(out->data, out->len);
	out->len = 0;
	return 0;
}

/* ---- the memory ---- */

/*
 * Sealed: no one changes its size any more, which the daemon insists upon. It adds that
 * nobody maps it to write any more: so it is mapped here before it is passed.
 */
static int make_memory(void)
{
	int fd = memfd_create("ovlctl capture", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int err;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("ovlctl capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	err = ftruncate(fd, MEMORY) < 0 ? errno : posix_fallocate(fd, 0, MEMORY);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		err = errno;
	if (err) {
		close(fd);
		return -err;
	}
	return fd;
}

/* What the daemon made of it. */
static bool take_rings(struct capture_state *state, const json_t *reply)
{
	const json_int_t count = client_number(reply, "rings");
	const json_int_t size = client_number(reply, "ring_size");

	if (count < 1 || count > RINGS_MAX || size <= (json_int_t)CAPTURE_HEAD ||
	    size > (json_int_t)MEMORY / count) {
		fputs("ovlctl: the daemon's reply makes no sense\n", stderr);
		return false;
	}
	state->ring_count = (unsigned int)count;
	for (unsigned int i = 0; i < state->ring_count; i++) {
		uint8_t *ring = state->memory + i * (size_t)size;

		state->rings[i] = (struct ring_view){ .ring = (struct capture_ring *)(void *)ring,
			                              .records = ring + CAPTURE_HEAD,
			                              .room = (uint64_t)size - CAPTURE_HEAD };
	}
	return true;
}

static int begin(struct capture_state *state)
{
	const struct order *order = &state->order;
	int fd = make_memory(), status = OVLCTL_FAILED;
	json_t *request, *reply;

	if (fd >= 0)
		state->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || state->memory == MAP_FAILED) {
		fprintf(stderr, "ovlctl: no memory to capture to: %s\n",
		        strerror(fd < 0 ? -fd : errno));
		state->memory = NULL;
		goto out;
	}
	request = json_pack("{s:s, s:i, s:b, s:b, s:b, s:I, s:s*}", "do", "capture", "layout",
	                    CAPTURE_LAYOUT, "inner", order->inner, "outer", order->outer, "keys",
	                    order->keys, "snaplen", (json_int_t)order->snaplen, "of", order->of);
	status = client_call_passing(request, fd, &reply, &state->connection);
	if (status != OVLCTL_OK)
		goto out;
	state->writer = capture_writer_open(
		order->snaplen, json_is_string(json_object_get(reply, "peer")), &state->out);
	if (!take_rings(state, reply) || !state->writer)
		status = OVLCTL_FAILED;
	json_decref(reply);
out:
	if (fd >= 0)
		close(fd);
	return status;
}

/* The next record of @ring, or NULL. */
static struct capture_record *next_record(struct ring_view *ring)
{
	while (ring->tail != ring->head) {
		const uint64_t at = ring->tail % ring->room;
		struct capture_record *record =
			(struct capture_record *)(void *)(ring->records + at);

		/* Of a daemon that went mad nothing more is taken. */
		if (record->size < 8 || record->size > ring->room - at ||
		    record->size > ring->head - ring->tail ||
		    (record->type != CAPTURE_PAD && record->size < sizeof(*record))) {
			ring->tail = ring->head;
			return NULL;
		}
		if (record->type != CAPTURE_PAD)
			return record;
		ring->tail += record->size;
	}
	return NULL;
}

static void done_with(struct ring_view *ring, struct capture_record *record)
{
	const uint32_t size = record->size;

	if (record->type == CAPTURE_KEY)
		secret_wipe(record + 1, size - sizeof(*record));
	ring->tail += size;
	atomic_store_explicit(&ring->ring->tail, ring->tail, memory_order_release);
}

/*
 * Is left for the next look: what is younger than this one may follow from what another
 * worker put in when its ring had been looked at already. Unless the clock was set back.
 */
static bool is_too_young(const struct capture_record *record, uint64_t until_ns)
{
	return record->wall_ns >= until_ns && record->wall_ns - until_ns < SECOND_NS;
}

/* The ring whose next record is the oldest of all. NULL: there is none. */
static struct ring_view *oldest(struct capture_state *state, uint64_t until_ns,
                                struct capture_record **record)
{
	struct ring_view *found = NULL;

	*record = NULL;
	for (unsigned int i = 0; i < state->ring_count; i++) {
		struct capture_record *next = next_record(&state->rings[i]);

		if (next && !is_too_young(next, until_ns) &&
		    (!*record || next->wall_ns < (*record)->wall_ns)) {
			found = &state->rings[i];
			*record = next;
		}
	}
	return found;
}

static bool is_full(const struct capture_state *state)
{
	return capture_writer_packets(state->writer) >= state->order.count;
}

static uint64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* All that there is by now; @last: to the last. How many records, or -errno, and said. */
static int take_all(struct capture_state *state, bool last)
{
	const uint64_t until_ns = last || state->ring_count == 1 ? UINT64_MAX : wall_ns();
	struct capture_record *record;
	struct ring_view *ring;
	int taken = 0, ret = 0;

	for (unsigned int i = 0; i < state->ring_count; i++)
		state->rings[i].head =
			atomic_load_explicit(&state->rings[i].ring->head, memory_order_acquire);
	while (!ret && !is_full(state) && (ring = oldest(state, until_ns, &record))) {
		if (!capture_writer_put(state->writer, record, &state->out)) {
			fputs("ovlctl: out of memory\n", stderr);
			return -ENOMEM;
		}
		done_with(ring, record);
		taken++;
		if (state->out.len >= OUT_ENOUGH)
			ret = write_out(state);
	}
	if (!ret)
		ret = write_out(state);
	return ret ? ret : taken;
}

/* ---- from beginning to end ---- */

static uint64_t sum_lost(const struct capture_state *state, struct capture_lost *lost)
{
	uint64_t sum = 0;

	*lost = (struct capture_lost){ .of = { 0 } };
	for (unsigned int i = 0; i < state->ring_count; i++)
		for (unsigned int place = 0; place < CAPTURE_PLACES; place++) {
			uint64_t n = stats_read(&state->rings[i].ring->lost[place]);

			lost->of[place] += n;
			sum += n;
		}
	return sum;
}

static void tell_sum(const struct capture_state *state, FILE *out)
{
	struct capture_lost lost;
	uint64_t sum = sum_lost(state, &lost);
	char bytes[TEXT_MAX];

	fprintf(out, "ovlctl: %llu packets, %s, to %s; %llu dropped for want of room\n",
	        (unsigned long long)capture_writer_packets(state->writer),
	        text_format_bytes(state->bytes, bytes), state->name, (unsigned long long)sum);
	if (lost.of[CAPTURE_SECRETS])
		fprintf(out, "ovlctl: keys of %llu handshakes are missing\n",
		        (unsigned long long)lost.of[CAPTURE_SECRETS]);
	else if (sum)
		fputs("ovlctl: less of each packet takes less room: -s 128\n", out);
}

static int finish(struct capture_state *state, int ret, bool alone)
{
	struct capture_lost lost;

	(void)sum_lost(state, &lost);
	if (!ret && capture_writer_finish(state->writer, &lost, &state->out))
		ret = write_out(state);
	tell_sum(state, stderr);
	if (alone)
		fputs("ovlctl: the daemon closed the connection\n", stderr);
	return (ret && ret != -EPIPE) || alone ? OVLCTL_FAILED : OVLCTL_OK;
}

/* An exit status. */
static int run(struct capture_state *state)
{
	struct pollfd connection = { .fd = state->connection, .events = POLLIN };
	int sleep_ms = SLEEP_MS_MIN;
	bool ended = false, alone = false;

	for (;;) {
		int taken = take_all(state, ended);

		if (taken < 0)
			return finish(state, taken, false);
		/* The look that comes after the end finds what came before it. */
		if (ended || is_full(state))
			return finish(state, 0, alone);
		sleep_ms = taken                     ? SLEEP_MS_MIN
		           : sleep_ms < SLEEP_MS_MAX ? 2 * sleep_ms
		                                     : SLEEP_MS_MAX;
		/* It says nothing any more: it can only go. */
		alone = poll(&connection, 1, sleep_ms) > 0;
		ended = alone || signals;
	}
}

static void tell_begin(const struct order *order, const char *name)
{
	const char *sides = order->inner && order->outer ? "inner and outer"
	                    : order->outer               ? "outer"
	                                                 : "inner";

	fprintf(stderr, "ovlctl: %s packets of %s to %s, until Ctrl-C\n", sides,
	        order->of ? order->of : "all peers", name);
	if (order->keys)
		fputs("ovlctl: to decrypt, Wireshark needs this host's private key, too, which is "
		      "not in it\n",
		      stderr);
}

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *number >= least &&
	       *number <= most;
}

static int bad_number(const char *option, const char *text, const char *expected)
{
	fprintf(stderr, "ovlctl: %s %s: expected %s\n", option, text, expected);
	return OVLCTL_USAGE;
}

static int parse(int argc, char **argv, struct order *order)
{
	uint64_t number;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--inner") == 0) {
			order->inner = true;
		} else if (strcmp(argv[i], "--outer") == 0) {
			order->outer = true;
		} else if (strcmp(argv[i], "--keys") == 0) {
			order->keys = true;
		} else if (strcmp(argv[i], "-w") == 0 && value) {
			order->path = strcmp(value, "-") == 0 ? NULL : value;
			i++;
		} else if (strcmp(argv[i], "-s") == 0 && value) {
			if (!parse_number(value, 1, CAPTURE_SNAPLEN_MAX, &number))
				return bad_number("-s", value, "1 to 262144 bytes");
			order->snaplen = (uint32_t)number;
			i++;
		} else if (strcmp(argv[i], "-c") == 0 && value) {
			if (!parse_number(value, 1, UINT64_MAX, &order->count))
				return bad_number("-c", value, "a number of packets");
			i++;
		} else if (argv[i][0] != '-' && !order->of) {
			order->of = argv[i];
		} else {
			return ovlctl_usage("capture");
		}
	}
	if (order->keys && !order->outer) {
		fputs("ovlctl: keys are for the datagrams that --outer captures\n", stderr);
		return OVLCTL_USAGE;
	}
	order->inner |= !order->outer;
	return OVLCTL_OK;
}

int cmd_capture(int argc, char **argv)
{
	struct capture_state state = {
		.fd = -1,
		.connection = -1,
		.order = { .snaplen = CAPTURE_SNAPLEN_MAX, .count = UINT64_MAX },
	};
	int status = parse(argc, argv, &state.order);

	if (status != OVLCTL_OK)
		return status;
	buffer_init(&state.out, OUT_MAX);
	/* In this order: a file that is there is not emptied for what the daemon refuses. */
	status = begin(&state);
	if (status == OVLCTL_OK)
		status = open_file(&state);
	if (status == OVLCTL_OK) {
		catch_signals();
		tell_begin(&state.order, state.name);
		status = run(&state);
	}
	capture_writer_close(state.writer);
	if (state.connection >= 0)
		close(state.connection);
	if (state.memory)
		munmap(state.memory, MEMORY);
	if (state.order.path && state.fd >= 0 && close(state.fd) < 0 && status == OVLCTL_OK) {
		fprintf(stderr, "ovlctl: %s: %s\n", state.name, strerror(errno));
		status = OVLCTL_FAILED;
	}
	buffer_fini(&state.out);
	return status;
}
