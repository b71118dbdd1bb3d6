/* SPDX-License-Identifier: MIT */
/*
 * From a daemon's records (dataplane/capture.h) to a pcapng file: an interface for
 * each network and one for the device's datagrams, whose IP and UDP headers, which the
 * daemon never sees, are made up from the endpoints. Peers are told by their names,
 * which the daemon is asked for.
 */
#ifndef CTL_CAPTURE_WRITER_H
#define CTL_CAPTURE_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/buffer.h"
#include "dataplane/capture.h"

struct capture_writer;

/* Begins with a section. NULL: out of memory. @one_peer: all is of one, so no packet says which. */
struct capture_writer *capture_writer_open(uint32_t snaplen, bool one_peer, struct buffer *out);
void capture_writer_close(struct capture_writer *writer); /* takes NULL */

/* Puts what follows from a record, checked by its size alone. False: out of memory. */
bool capture_writer_put(struct capture_writer *writer, const struct capture_record *record,
                        struct buffer *out);
/* The end: what was lost, of the rings of all workers. */
struct capture_lost {
	uint64_t of[CAPTURE_PLACES];
};
bool capture_writer_finish(struct capture_writer *writer, const struct capture_lost *lost,
                           struct buffer *out);

uint64_t capture_writer_packets(const struct capture_writer *writer);

#endif
