/* SPDX-License-Identifier: MIT */
/* What cmocka programs that use the rig have in common. */
#ifndef TESTS_UNIT_RIG_TEST_H
#define TESTS_UNIT_RIG_TEST_H

#include "unit/unit.h"
#include "unit/rig.h"

/* Host 0 begins; by convention it sends and host 1 receives. */
#define A (&rig->host[0])
#define B (&rig->host[1])

static inline int open_rig(void **state)
{
	*state = rig_open();
	return 0;
}

static inline int open_connected_rig(void **state)
{
	struct rig *rig = rig_open();

	rig_connect(rig, 0);
	*state = rig;
	return 0;
}

static inline int close_rig(void **state)
{
	rig_close(*state);
	return 0;
}

#define rig_test(f)           cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
#define rig_connected_test(f) cmocka_unit_test_setup_teardown(f, open_connected_rig, close_rig)

static inline uint64_t deadline(const struct rig_host *host, enum timer timer)
{
	return atomic_load(&host->peer->timers.deadline_ns[timer]);
}

/* The IP packet in frame @i that the host's TAP was given. */
static inline const uint8_t *delivered(const struct rig_host *host, unsigned int i, uint32_t *len)
{
	assert_true(i < host->frame_count);
	assert_true(host->frames[i].len >= 24);
	*len = host->frames[i].len - 24;
	return host->frames[i].data + 24;
}

/* Frames that carry packets, not questions about neighbours. */
static inline unsigned int packets(const struct rig_host *host)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->frame_count; i++)
		n += load_be16(host->frames[i].data + 22) != ETHERTYPE_WIRE_ARP;
	return n;
}

/* Host 0's container says something to host 1, which gets it from a clean slate. */
static inline void tell_udp(struct rig *rig, const char *from, const char *to)
{
	uint8_t ip[256];

	rig_mark(B);
	rig_tell(A, ip, rig_make_udp(ip, from, to, 68), 0);
}

#endif
