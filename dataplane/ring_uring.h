/* SPDX-License-Identifier: MIT */
#ifndef DATAPLANE_RING_URING_H
#define DATAPLANE_RING_URING_H

#include <stdbool.h>
#include "dataplane/ring.h"

/*
 * ring_open_uring(), for tests also as on a kernel of 6.1 to 6.6, which has no
 * multishot read.
 */
int ring_open_uring_as(struct ring **ring, bool old_kernel);

#endif
