/* SPDX-License-Identifier: MIT */
#include "dataplane/fdb.h"

#include <pthread.h>
#include <stdlib.h>

struct fdb {
	pthread_mutex_t lock;
	struct member *local;
};

struct fdb *fdb_open(struct member *local)
{
	struct fdb *fdb = calloc(1, sizeof(*fdb));

	if (!fdb)
		return NULL;
	fdb->local = local;
	pthread_mutex_init(&fdb->lock, NULL);
	return fdb;
}

void fdb_close(struct fdb *fdb)
{
	pthread_mutex_destroy(&fdb->lock);
	free(fdb);
}
