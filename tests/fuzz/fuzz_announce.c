/* SPDX-License-Identifier: MIT */
/* Messages about stations: what parses is what would be said again. */
#include "dataplane/announce.h"
#include "fuzz/fuzz.h"

static void check_station(const struct announce_message *msg, const struct fdb_news *a,
                          const struct fdb_news *b)
{
	must(a->key.kind == FDB_MAC || a->key.kind == FDB_IPV4 || a->key.kind == FDB_IPV6);
	must(a->key.kind != FDB_MAC || memcmp(a->key.addr, a->mac, sizeof(a->mac)) == 0);
	must(!msg->has_range || (a->sequence > msg->from && a->sequence <= msg->to));
	must(a->sequence == b->sequence && a->gone == b->gone);
	must(memcmp(&a->key, &b->key, sizeof(a->key)) == 0);
	must(memcmp(a->mac, b->mac, sizeof(a->mac)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct announce_message msg, again;
	uint8_t out[4096], *copy;
	uint32_t len;

	if (size > 65535)
		return 0;
	copy = fuzz_copy(data, size);
	if (announce_parse(copy, (uint32_t)size, &msg)) {
		must(msg.vni > 0 && msg.vni <= WIRE_VNI_MAX && msg.count <= ANNOUNCE_STATIONS_MAX);
		len = announce_format(out, sizeof(out), &msg);
		must(len == sizeof(struct wire_control) + load_be16(out + 2));
		must(announce_parse(out, len, &again));
		must(again.type == msg.type && again.vni == msg.vni && again.boot == msg.boot &&
		     again.has_range == msg.has_range && again.end == msg.end &&
		     again.from == msg.from && again.to == msg.to && again.count == msg.count);
		for (uint32_t i = 0; i < msg.count; i++)
			check_station(&msg, &msg.stations[i], &again.stations[i]);
	}
	free(copy);
	return 0;
}
