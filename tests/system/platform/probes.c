/* SPDX-License-Identifier: MIT */
/*
 * What the daemon takes for granted of a kernel, one probe a command.
 *
 * Exit status: 0 the kernel does it, 77 it lacks it (standard output says what),
 * 1 it does it otherwise than the daemon believes, which would be our mistake.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LACKS   77
#define ENTRIES 8
#define BUFFER  2048
#define GROUP   1
/* Younger than the headers of Debian 12. */
#define TUN_F_USO4_        0x20
#define TUN_F_USO6_        0x40
#define OP_READ_MULTISHOT_ 49

static int lacks(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return LACKS;
}

static int wrong(const char *what)
{
	printf("%s (%s)\n", what, strerror(errno));
	return 1;
}

static int tap_open(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	memcpy(ifr.ifr_name, "probe0", 7);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int probe_tap_offloads(void)
{
	unsigned int tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int size = (int)sizeof(struct virtio_net_hdr);
	int fd = tap_open();

	if (fd < 0)
		return lacks("a multi-queue TAP with virtio-net header");
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return lacks("TUNSETVNETHDRSZ");
	return ioctl(fd, TUNSETOFFLOAD, tso) < 0 ? lacks("TSO on a TAP") : 0;
}

static int probe_tap_uso(void)
{
	unsigned int uso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4_ | TUN_F_USO6_;
	int fd = tap_open();

	if (fd < 0)
		return lacks("a TAP");
	return ioctl(fd, TUNSETOFFLOAD, uso) < 0 ? lacks("USO on a TAP") : 0;
}

/* Two sockets on the loopback; the second is connected to the first. */
static int udp_pair(int fds[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 2 };
	socklen_t length = sizeof(sin);

	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 ||
		    setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
			return -1;
	}
	if (bind(fds[0], (struct sockaddr *)&sin, sizeof(sin)) ||
	    getsockname(fds[0], (struct sockaddr *)&sin, &length))
		return -1;
	return connect(fds[1], (struct sockaddr *)&sin, length);
}

static int probe_udp_segment(void)
{
	char data[10 * 100 + 30] = "", got[BUFFER];
	int fds[2], size = 100;

	if (udp_pair(fds))
		return wrong("a pair of UDP sockets");
	if (setsockopt(fds[1], IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)))
		return lacks("UDP_SEGMENT");
	if (send(fds[1], data, sizeof(data), 0) != (ssize_t)sizeof(data))
		return wrong("UDP_SEGMENT did not take a send");
	for (int i = 0; i < 11; i++) {
		ssize_t n = recv(fds[0], got, sizeof(got), 0);

		if (n != (i < 10 ? 100 : 30))
			return wrong("a segment came with another length");
	}
	return 0;
}

static int probe_udp_gro(void)
{
	char data[1000] = "", got[4096], control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { got, sizeof(got) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };
	int fds[2], size = 100, on = 1;

	if (udp_pair(fds))
		return wrong("a pair of UDP sockets");
	if (setsockopt(fds[0], IPPROTO_UDP, UDP_GRO, &on, sizeof(on)))
		return lacks("UDP_GRO");
	if (setsockopt(fds[1], IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)))
		return lacks("UDP_SEGMENT");
	if (send(fds[1], data, sizeof(data), 0) != (ssize_t)sizeof(data))
		return wrong("send");
	if (recvmsg(fds[0], &msg, 0) != (ssize_t)sizeof(data))
		return wrong("a burst did not come as one buffer");
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (!cmsg || cmsg->cmsg_type != UDP_GRO)
		return wrong("no segment size came with the burst");
	memcpy(&size, CMSG_DATA(cmsg), sizeof(size));
	return size == 100 ? 0 : wrong("another segment size came with the burst");
}

static int probe_pmtudisc_omit(void)
{
	int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int omit4 = IP_PMTUDISC_OMIT, omit6 = IPV6_PMTUDISC_OMIT;

	if (setsockopt(fd4, IPPROTO_IP, IP_MTU_DISCOVER, &omit4, sizeof(omit4)))
		return lacks("IP_PMTUDISC_OMIT");
	if (fd6 >= 0 && setsockopt(fd6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &omit6, sizeof(omit6)))
		return lacks("IPV6_PMTUDISC_OMIT");
	return 0;
}

static int ring_open(struct io_uring *ring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	int err = io_uring_queue_init_params(ENTRIES, ring, &params);

	errno = err < 0 ? -err : 0;
	return err;
}

static int probe_uring(void)
{
	struct io_uring ring;

	return ring_open(&ring) ? lacks("io_uring with SINGLE_ISSUER and DEFER_TASKRUN") : 0;
}

/* A ring with a provided buffer ring of ENTRIES buffers. */
static int ring_with_buffers(struct io_uring *ring)
{
	struct io_uring_buf_reg reg = { .ring_entries = ENTRIES, .bgid = GROUP };
	static char buffers[ENTRIES][BUFFER];
	struct io_uring_buf_ring *br;

	if (ring_open(ring))
		return -1;
	br = mmap(NULL, ENTRIES * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
	          MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	reg.ring_addr = (uint64_t)(uintptr_t)br;
	int err = io_uring_register_buf_ring(ring, &reg, 0);

	if (err) {
		errno = -err;
		return -1;
	}
	io_uring_buf_ring_init(br);
	for (int i = 0; i < ENTRIES; i++)
		io_uring_buf_ring_add(br, buffers[i], BUFFER, (unsigned short)i,
		                      io_uring_buf_ring_mask(ENTRIES), i);
	io_uring_buf_ring_advance(br, ENTRIES);
	return 0;
}

/* Waits for one completion: its result, and whether the request goes on. */
static int ring_reap(struct io_uring *ring, int *more)
{
	struct __kernel_timespec limit = { .tv_sec = 2 };
	struct io_uring_cqe *cqe;
	int err = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, NULL);

	if (err < 0 || io_uring_peek_cqe(ring, &cqe))
		return -ETIME;
	int result = cqe->res;

	*more = !!(cqe->flags & IORING_CQE_F_MORE);
	if (result > 0 && !(cqe->flags & IORING_CQE_F_BUFFER))
		result = -EBADMSG;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static int reap_three(struct io_uring *ring, int least, const char *what)
{
	for (int i = 0; i < 3; i++) {
		int more = 0, result = ring_reap(ring, &more);

		if (result < 0) {
			errno = -result;
			return result == -EINVAL ? lacks(what) : wrong(what);
		}
		if (result < least)
			return wrong("a completion was too short");
		if (!more)
			return wrong("a multishot request ended while it had buffers");
	}
	return 0;
}

static int probe_recvmsg_multishot(void)
{
	struct msghdr msg = { 0 };
	struct io_uring ring;
	int fds[2];

	if (ring_with_buffers(&ring))
		return lacks("a provided buffer ring");
	if (udp_pair(fds))
		return wrong("a pair of UDP sockets");
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_recvmsg_multishot(sqe, fds[0], &msg, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	io_uring_submit(&ring);
	for (int i = 0; i < 3; i++)
		if (send(fds[1], "data", 4, 0) != 4)
			return wrong("send");
	return reap_three(&ring, (int)sizeof(struct io_uring_recvmsg_out) + 4, "multishot recvmsg");
}

static int probe_tap_read_multishot(void)
{
	struct ifreq ifr = { .ifr_name = "probe0", .ifr_flags = IFF_UP };
	struct io_uring_probe *probe;
	struct io_uring ring;
	int fd;

	if (ring_with_buffers(&ring))
		return lacks("a provided buffer ring");
	probe = io_uring_get_probe_ring(&ring);
	errno = EOPNOTSUPP;
	if (!probe || !io_uring_opcode_supported(probe, OP_READ_MULTISHOT_))
		return lacks("multishot read");
	fd = tap_open();
	if (fd < 0)
		return lacks("a TAP");
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_rw(OP_READ_MULTISHOT_, sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	io_uring_submit(&ring);

	/* Three frames out of the device, by a packet socket on it. */
	int raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct {
		unsigned short family, protocol;
		int index;
		unsigned char rest[12];
	} ll = {
		.family = AF_PACKET,
		.index = (int)if_nametoindex("probe0"),
	};
	char frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6 };

	if (raw < 0 || ioctl(raw, SIOCSIFFLAGS, &ifr))
		return wrong("a packet socket on the TAP");
	for (int i = 0; i < 3; i++)
		if (sendto(raw, frame, sizeof(frame), 0, (void *)&ll, sizeof(ll)) < 0)
			return wrong("a frame out of the TAP");
	return reap_three(&ring, (int)sizeof(frame), "multishot read of a TAP");
}

static const struct {
	const char *name;
	int (*probe)(void);
} probes[] = {
	{ "tap-offloads", probe_tap_offloads },
	{ "tap-uso", probe_tap_uso },
	{ "udp-segment", probe_udp_segment },
	{ "udp-gro", probe_udp_gro },
	{ "pmtudisc-omit", probe_pmtudisc_omit },
	{ "uring", probe_uring },
	{ "recvmsg-multishot", probe_recvmsg_multishot },
	{ "tap-read-multishot", probe_tap_read_multishot },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(probes) / sizeof(probes[0]); i++)
		if (!strcmp(argv[1], probes[i].name))
			return probes[i].probe();
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		printf("%s\n", probes[i].name);
	return 2;
}
