/* SPDX-License-Identifier: MIT */
/* ovlctl's end of the control socket. Errors are said on stderr, in one line. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Which daemon to talk to: by its socket, by its name in the usual place, or
 * (both NULL) the only one that runs. The texts are kept.
 */
void client_select(const char *socket_path, const char *name);

/* "ovlctl" with what was selected, as it was typed, for commands that are told to people. */
const char *client_command(void);

/*
 * Sends @request, which is consumed, and waits for the reply. Returns an exit
 * status; *@reply is a new reference when that is OVLCTL_OK, and not set otherwise.
 */
int client_call(json_t *request, json_t **reply);
/*
 * The same for a request that comes with descriptor @passed, and is served as long as
 * *@connection is kept; the caller closes both.
 */
int client_call_passing(json_t *request, int passed, json_t **reply, int *connection);
/* The same when only success counts; with @json the reply is printed. */
int client_do(json_t *request, bool json);

/* All that a command has to tell, on stdout; a daemon's reply as it is. Returns an exit status. */
int client_print_json(const json_t *value);
/* The same on one line of several. */
int client_print_json_line(const json_t *value);
/*
 * What complaint.h has kept, on one line of stdout, as what was printed before may be lines;
 * nothing, if all was told there already: who finds something wrong ends with OVLCTL_FAILED,
 * too.
 */
void client_print_failure(int status);

/*
 * Has what would be said on stderr put into @text instead, the last of it and without
 * the tool's name; NULL: on stderr again.
 */
void client_hush(char *text, size_t size);

/* What -i chose; NULL: nothing. And whether it or --socket chose anything. */
const char *client_name(void);
bool client_is_chosen(void);

/* Of replies; what is not there is "" or 0. */
const char *client_text(const json_t *object, const char *key);
json_int_t client_number(const json_t *object, const char *key);
/* Of a reply of reload or sync: what waits for the next start of the daemon. */
void client_print_next(const json_t *reply);

#endif
