/* SPDX-License-Identifier: MIT */
/* Probes: what parses is what would be said again. */
#include "dataplane/probe.h"
#include "fuzz/fuzz.h"

static void check_name(const char *name)
{
	must(memchr(name, '\0', PROBE_NAME_MAX) != NULL);
	for (; *name; name++)
		must((*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') ||
		     *name == '-');
}

static void check(const struct probe_message *msg)
{
	const struct probe_answer *answer = &msg->answer;
	static uint8_t packet[65536];

	must(msg->number != 0);
	if (msg->type == WIRE_CONTROL_PROBE) {
		must(msg->packet.vni <= WIRE_VNI_MAX);
		must(msg->packet.family == 4 || msg->packet.family == 6 ||
		     (msg->packet.family == 0 && msg->packet.vni));
		(void)probe_make_packet(&msg->packet, msg->packet.len, 1, packet);
		return;
	}
	must(msg->type == WIRE_CONTROL_PROBE_REPLY);
	must(answer->stage >= PROBE_HEARD && answer->stage <= PROBE_ANSWERED);
	must(answer->drop_count <= PROBE_COUNTERS_MAX);
	check_name(answer->reason);
	for (uint32_t i = 0; i < answer->drop_count; i++)
		check_name(answer->drops[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_message msg, again;
	uint8_t out[PROBE_SIZE_MIN], *copy;
	uint32_t len;

	if (size > 65535)
		return 0;
	copy = fuzz_copy(data, size);
	if (probe_parse(copy, (uint32_t)size, &msg)) {
		check(&msg);
		len = probe_format(out, sizeof(out), &msg);
		must(len && len <= sizeof(out));
		must(probe_parse(out, len, &again));
		/* A reply may have spoken of a packet, and a request of an answer. */
		must(again.type == msg.type && again.number == msg.number);
		if (msg.type == WIRE_CONTROL_PROBE)
			must(memcmp(&again.packet, &msg.packet, sizeof(msg.packet)) == 0);
		else
			must(memcmp(&again.answer, &msg.answer, sizeof(msg.answer)) == 0);
	}
	free(copy);
	return 0;
}
