/* SPDX-License-Identifier: MIT */
/*
 * The tunnel's UDP sockets, and the send and receive details that both ring
 * backends share: ancillary data (PKTINFO, TOS, UDP_SEGMENT, UDP_GRO) and the
 * ways around a kernel or a device that cannot do what was asked.
 */
#ifndef DATAPLANE_UDP_H
#define DATAPLANE_UDP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "dataplane/ring.h"

struct udp_sockets {
	int fd4; /* -1: none */
	int fd6; /* IPv6 only; -1: none (kernels without IPv6) */
	uint16_t port;
	bool gro; /* UDP_GRO is on */
	bool gso; /* UDP_SEGMENT is understood */
};

/*
 * Binds IPv4 and IPv6 to @port (0: one the kernel chooses, the same for both).
 * Non-blocking; IP_PMTUDISC_OMIT so that no ICMP sways them, PKTINFO, TOS and
 * overflow counts on receive, UDP_GRO, buffers of @buffer bytes (forced where
 * allowed), SO_MARK @fwmark if not 0. 0 or -errno, nothing open then.
 */
int udp_open(struct udp_sockets *udp, uint16_t port, uint32_t fwmark, uint32_t buffer);
/*
 * The same @count times, on one port (SO_REUSEPORT when @count > 1). The kernel gives
 * each datagram to one of them by a hash of both addresses and ports. Nobody else is on
 * the port then: the first is bound for itself alone. Later only a program of the same
 * user could come, and only one that means to: udp_open_group() does not.
 */
int udp_open_group(struct udp_sockets *group, unsigned int count, uint16_t port, uint32_t fwmark,
                   uint32_t buffer);
/*
 * The sockets of a group that udp_open_group() made, maybe in another process: @n
 * descriptors in any order, all it has, which are the group's from then on. @port 0:
 * whichever they have. -EINVAL: they are not that, and stay the caller's.
 */
int udp_adopt_group(struct udp_sockets *group, unsigned int count, const int *fds, unsigned int n,
                    uint16_t port, uint32_t fwmark);
void udp_close(struct udp_sockets *udp);
int udp_set_fwmark(const struct udp_sockets *udp, uint32_t fwmark);

/* Room for all ancillary data of one message, either direction. */
#define UDP_CONTROL_SIZE 192

/* Fills @msg's name and control for @send; @control is zeroed first (UDP_CONTROL_SIZE). */
void udp_message_fill(struct msghdr *msg, struct iovec *iov, void *control, struct ring_send *send);
/*
 * Reads remote, local address, TOS, segment size and overflow count from what
 * was received; @event's data is the caller's to set, @overflow stays when the
 * kernel gave none. Bounded whatever the ancillary data hold. False: empty,
 * truncated, or not from an address that can be answered; drop it.
 */
bool udp_message_parse(struct msghdr *msg, uint32_t len, struct ring_event *event,
                       uint32_t *overflow) __attribute__((warn_unused_result));

/*
 * Moves the first RING_SEGMENTS_MAX datagrams of @rest to @part: the kernel may
 * hand over more in one piece when a device or a neighbour made it. True: that
 * was all of @rest.
 */
bool udp_event_take(struct ring_event *rest, struct ring_event *part)
	__attribute__((warn_unused_result));

/*
 * The socket for @send, its results set to "sent". -1: nothing to do, or no such
 * socket; the results say so.
 */
int udp_send_fd(int fd4, int fd6, struct ring_send *send);
/* Sends all in order, what fails by the slow path below; fills their results. */
void udp_send_all(int fd4, int fd6, struct ring_send **sends, unsigned int n);

/*
 * The slow path after a send failed with @error: forgets a stale source, repeats
 * a segmented send one by one (EIO, EINVAL, EMSGSIZE), as often as it helps.
 * Fills @send's results.
 */
void udp_send_again(int fd, struct ring_send *send, int error);

#endif
