/* SPDX-License-Identifier: MIT */
/*
 * Sends UDP datagrams as fast as it can, or counts those that arrive.
 *
 *   udp_load receive PORT SECONDS                     ends half a second after the last one
 *   udp_load send ADDRESS PORT SECONDS FLOWS SIZE     SIZE in bytes of payload, or "imix"
 *
 * An ordinary program's traffic: every datagram is one of its own, neither end asks the
 * kernel to cut or to merge. One flow goes out by sendmmsg in bursts. Several have a socket
 * each and take turns datagram by datagram, the hardest mix for whoever batches by flow.
 * A datagram carries its flow and its number in it, so that the receiver sees reordering.
 * Both ends print their figures as one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BURST = 64,
	FLOWS_MAX = 256,
	PAYLOAD_MAX = 2048,
	QUIET_MS = 500,
	RCVBUF_BYTES = 8 << 20,
};

struct stamp {
	uint32_t flow;
	uint32_t number;
};

/* The simple IMIX, 7:4:1 of packets of 40, 576 and, as all tunnels carry it whole, 1400 bytes. */
static const size_t imix[] = { 12, 548, 12, 12, 548, 12, 1372, 12, 548, 12, 12, 548 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	fprintf(stderr, "udp_load: %s: %s\n", what, strerror(errno));
	return 1;
}

/* What the receiver knows; @next: the number to come, by flow. */
struct tally {
	uint64_t datagrams, bytes, reordered;
	double first_s, last_s;
	uint32_t next[FLOWS_MAX];
};

static void count(struct tally *t, const uint8_t *data, size_t size)
{
	struct stamp stamp;

	t->datagrams++;
	t->bytes += size;
	if (size < sizeof(stamp))
		return;
	memcpy(&stamp, data, sizeof(stamp));
	if (stamp.flow >= FLOWS_MAX)
		return;
	if (stamp.number < t->next[stamp.flow])
		t->reordered++;
	else
		t->next[stamp.flow] = stamp.number + 1;
}

static int receive_all(int fd, double until_s, struct tally *t)
{
	static uint8_t data[BURST][PAYLOAD_MAX];
	struct mmsghdr messages[BURST];
	struct iovec iov[BURST];

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){ .iov_base = data[i], .iov_len = PAYLOAD_MAX };
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		int n = recvmmsg(fd, messages, BURST, MSG_DONTWAIT, NULL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			t->last_s = now_s();
			if (t->datagrams == 0)
				t->first_s = t->last_s;
			for (int i = 0; i < n; i++)
				count(t, data[i], messages[i].msg_len);
			continue;
		}
		if (poll(&waiting, 1, QUIET_MS) == 0 && (t->datagrams || now_s() > until_s))
			return 0;
	}
}

static int receive_main(char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET,
		                   .sin_port = htons((uint16_t)atoi(argv[0])) };
	double until_s = now_s() + atof(argv[1]);
	int room = RCVBUF_BYTES;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct tally tally = { 0 };

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    bind(fd, (struct sockaddr *)&own, sizeof(own)))
		return fail("socket");
	puts("ready");
	fflush(stdout);
	if (receive_all(fd, until_s, &tally))
		return fail("recvmmsg");
	printf("{\"datagrams\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"reordered\": %" PRIu64
	       ", \"seconds\": %.6f}\n",
	       tally.datagrams, tally.bytes, tally.reordered, tally.last_s - tally.first_s);
	close(fd);
	return 0;
}

struct sender {
	int fds[FLOWS_MAX];
	uint32_t numbers[FLOWS_MAX];
	size_t n_flows;
	size_t size; /* 0: IMIX */
	uint64_t datagrams, refused;
};

static size_t size_of(const struct sender *s, uint64_t index)
{
	return s->size ? s->size : imix[index % (sizeof(imix) / sizeof(imix[0]))];
}

/* BURST datagrams; none is waited for, what the kernel refuses is counted. */
static int send_burst(struct sender *s)
{
	static uint8_t data[BURST][PAYLOAD_MAX];
	struct mmsghdr messages[BURST];
	struct iovec iov[BURST];
	int sent = 0;

	memset(messages, 0, sizeof(messages));
	for (size_t i = 0; i < BURST; i++) {
		size_t flow = (s->datagrams + i) % s->n_flows;
		struct stamp stamp = { .flow = (uint32_t)flow, .number = s->numbers[flow]++ };

		memcpy(data[i], &stamp, sizeof(stamp));
		iov[i] = (struct iovec){ .iov_base = data[i],
			                 .iov_len = size_of(s, s->datagrams + i) };
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (sent < BURST) {
		size_t flow = (s->datagrams + (uint64_t)sent) % s->n_flows;
		unsigned int many = s->n_flows == 1 ? (unsigned int)(BURST - sent) : 1;
		int n = sendmmsg(s->fds[flow], messages + sent, many, 0);

		if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR &&
		    errno != ECONNREFUSED && errno != EMSGSIZE)
			return -errno;
		s->refused += n < 0;
		sent += n > 0 ? n : 1;
	}
	s->datagrams += BURST;
	return 0;
}

static int send_main(char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)atoi(argv[1])) };
	double seconds = atof(argv[2]), began;
	long flows = atol(argv[3]), size = strcmp(argv[4], "imix") ? atol(argv[4]) : 0;
	static struct sender s;

	if (inet_pton(AF_INET, argv[0], &to.sin_addr) != 1 || flows < 1 || flows > FLOWS_MAX ||
	    size > PAYLOAD_MAX || (size < (long)sizeof(struct stamp) && strcmp(argv[4], "imix"))) {
		fprintf(stderr,
		        "udp_load: expected an IPv4 address, 1 to %d flows, %zu to %d bytes or "
		        "imix\n",
		        FLOWS_MAX, sizeof(struct stamp), PAYLOAD_MAX);
		return 2;
	}
	s.n_flows = (size_t)flows;
	s.size = (size_t)size;
	for (size_t i = 0; i < s.n_flows; i++) {
		s.fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s.fds[i] < 0 || connect(s.fds[i], (struct sockaddr *)&to, sizeof(to)))
			return fail("socket");
	}
	began = now_s();
	while (now_s() - began < seconds)
		if (send_burst(&s))
			return fail("sendmmsg");
	printf("{\"datagrams\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"seconds\": %.6f}\n",
	       s.datagrams, s.refused, now_s() - began);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "receive"))
		return receive_main(argv + 2);
	if (argc == 7 && !strcmp(argv[1], "send"))
		return send_main(argv + 2);
	fprintf(stderr, "usage: udp_load receive PORT SECONDS | send ADDRESS PORT SECONDS FLOWS "
	                "SIZE|imix\n");
	return 2;
}
