/* SPDX-License-Identifier: MIT */
/* reload: the daemon reads its file again, and says what of the run-time changes that ended. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <string.h>
#include "ctl/client.h"

static void print_summary(const json_t *reply)
{
	const json_t *dropped = json_object_get(reply, "dropped");
	json_int_t more =
		client_number(reply, "dropped_count") - (json_int_t)json_array_size(dropped);
	size_t i;
	json_t *line;

	printf("reloaded: peers %" JSON_INTEGER_FORMAT " added, %" JSON_INTEGER_FORMAT
	       " removed, %" JSON_INTEGER_FORMAT " changed; networks %" JSON_INTEGER_FORMAT
	       " added, %" JSON_INTEGER_FORMAT " removed\n",
	       client_number(reply, "peers_added"), client_number(reply, "peers_removed"),
	       client_number(reply, "peers_changed"), client_number(reply, "networks_added"),
	       client_number(reply, "networks_removed"));
	client_print_next(reply);
	json_array_foreach (dropped, i, line)
		printf("dropped, as it was changed at run time only: %s\n",
		       json_string_value(line));
	if (more > 0)
		printf("dropped %" JSON_INTEGER_FORMAT " more changes made at run time\n", more);
}

int cmd_reload(int argc, char **argv)
{
	json_t *reply;

	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;

	if (argc - json != 1)
		return ovlctl_usage("reload");
	int status = client_call(json_pack("{s:s}", "do", "reload"), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json)
		status = client_print_json(reply);
	else
		print_summary(reply);
	json_decref(reply);
	return status;
}
