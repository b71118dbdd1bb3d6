/* SPDX-License-Identifier: MIT */
/* The reply to what failed, for all that answers. */
#include "ctl/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

json_t *server_error(int exit_status, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* A name that was cut off within a character is no valid text any more. */
	json_t *string = json_string(text);

	if (!string)
		string = json_string("the request holds text that is not UTF-8");
	return json_pack("{s:b, s:o, s:i}", "ok", 0, "error", string, "exit", exit_status);
}

json_t *server_config_error(int ret, const struct config_error *error)
{
	char message[1024];
	json_t *reply;

	config_error_format(error, message, sizeof(message));
	reply = server_error(ret == -EINVAL ? SERVER_EXIT_USAGE : SERVER_EXIT_RUNTIME, "%s",
	                     message);
	if (!error->file[0])
		return reply;
	json_object_set_new(reply, "file", json_string(error->file));
	json_object_set_new(reply, "line", json_integer(error->line));
	json_object_set_new(reply, "text", json_string(error->text));
	return reply;
}

json_t *server_usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return server_error(SERVER_EXIT_USAGE, "%s", text);
}
