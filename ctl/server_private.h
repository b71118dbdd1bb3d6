/* SPDX-License-Identifier: MIT */
/* What server.c and server_edit.c share: how a request is read. */
#ifndef CTL_SERVER_PRIVATE_H
#define CTL_SERVER_PRIVATE_H

#include "ctl/server.h"
#include "dataplane/fdb.h"

/* Each returns NULL or false and sets *@wrong, unless that is set, to a reply that says why. */
const char *server_need_text(const json_t *request, const char *key, json_t **wrong);
/* That of "network"; it is in @config. */
struct config_network *server_need_bridged(const struct config *config, const json_t *request,
                                           json_t **wrong);
bool server_need_station(const json_t *request, struct fdb_key *key, json_t **wrong);

/* Whether server_edit() knows that request. */
bool server_is_change(const char *name);

#endif
