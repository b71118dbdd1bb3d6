/* SPDX-License-Identifier: MIT */
/* show drops --last: what was dropped last, for each reason. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include "ctl/client.h"
#include "ctl/text.h"

/* "out, peer b, network front, from 192.0.2.1:51820, 1420 bytes" */
static void describe(const json_t *item, char *out, size_t size)
{
	static const struct {
		const char *key, *before;
	} parts[] = { { "peer", "peer " }, { "network", "network " }, { "from", "from " } };
	const char *peer = client_text(item, "peer"), *key = client_text(item, "public_key");
	size_t used = 0;
	int n = snprintf(out, size, "  %s", client_text(item, "direction"));

	for (size_t i = 0; n >= 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *value = client_text(item, parts[i].key);

		used += (size_t)n;
		if (used >= size)
			return;
		n = *value ? snprintf(out + used, size - used, ", %s%s", parts[i].before, value)
		           : snprintf(out + used, size - used, "%s", "");
	}
	used += n > 0 ? (size_t)n : 0;
	if (!*peer && *key && used < size)
		used += (size_t)snprintf(out + used, size - used, ", peer %.10s… (gone)", key);
	if (json_is_integer(json_object_get(item, "length")) && used < size)
		(void)snprintf(out + used, size - used, ", %" JSON_INTEGER_FORMAT " bytes",
		               client_number(item, "length"));
}

static void print_item(const json_t *item, bool color)
{
	const json_t *age = json_object_get(item, "age_s"), *header;
	unsigned int width = text_terminal_width(stdout);
	char text[TEXT_MAX], line[512];

	text_print(stdout, color, TEXT_BOLD, "%s", client_text(item, "reason"));
	printf("  %" JSON_INTEGER_FORMAT ", ", client_number(item, "count"));
	printf("last %s\n", json_is_real(age)
	                            ? text_format_age(1, (uint64_t)json_real_value(age) + 1, text)
	                            : "not recorded");
	(void)snprintf(line, sizeof(line), "  %s", client_text(item, "text"));
	text_print_words(stdout, width, 4, TEXT_DIM, color, line);
	describe(item, line, sizeof(line));
	text_print_words(stdout, width, 4, TEXT_PLAIN, color, line);
	header = json_object_get(item, "header");
	if (!*client_text(header, "text"))
		return;
	(void)snprintf(line, sizeof(line), "  %s: %s", client_text(header, "kind"),
	               client_text(header, "text"));
	text_print_words(stdout, width, 4, TEXT_PLAIN, color, line);
}

int cmd_show_last(bool json)
{
	bool color = text_use_color(stdout);
	json_t *reply, *last, *item;
	size_t i;
	int status = client_call(json_pack("{s:s}", "do", "drops-last"), &reply);

	if (status != OVLCTL_OK)
		return status;
	last = json_object_get(reply, "last");
	if (json) {
		status = client_print_json(reply);
	} else {
		json_array_foreach (last, i, item)
			print_item(item, color);
		if (!json_array_size(last))
			puts("nothing was dropped");
	}
	json_decref(reply);
	return status;
}
