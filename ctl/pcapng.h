/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), as many as a capture needs, in
 * the machine's byte order, which the first of them tells. Each is put whole or, when
 * memory is out, not at all (buffer.h).
 */
#ifndef CTL_PCAPNG_H
#define CTL_PCAPNG_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/buffer.h"

enum pcapng_link { PCAPNG_ETHERNET = 1, PCAPNG_RAW_IP = 101 };
enum pcapng_direction { PCAPNG_UNKNOWN = 0, PCAPNG_IN = 1, PCAPNG_OUT = 2 };

/* Texts may be NULL: not told. */
struct pcapng_interface {
	enum pcapng_link link;
	uint32_t snaplen;
	const char *name;
	const char *description;
};

struct pcapng_piece {
	const void *data;
	uint32_t len;
};

struct pcapng_packet {
	uint32_t interface; /* interfaces count from 0 in the order in which they are put */
	uint64_t wall_ns;
	uint32_t len; /* on its way; */
	struct pcapng_piece pieces[2]; /* and what is kept of it, one behind the other */
	enum pcapng_direction direction;
	const char *comments[2];
};

struct pcapng_statistics {
	uint32_t interface;
	uint64_t start_ns, end_ns, now_ns;
	uint64_t delivered, dropped;
};

bool pcapng_put_section(struct buffer *out, const char *application);
bool pcapng_put_interface(struct buffer *out, const struct pcapng_interface *interface);
bool pcapng_put_packet(struct buffer *out, const struct pcapng_packet *packet);
bool pcapng_put_statistics(struct buffer *out, const struct pcapng_statistics *statistics);
/* Lines of a WireGuard key log, for what follows. */
bool pcapng_put_wireguard_keys(struct buffer *out, const char *lines);
/* The length of the whole blocks that the first @len bytes of @data hold. */
size_t pcapng_whole(const char *data, size_t len);

#endif
