/* SPDX-License-Identifier: MIT */
/* Hello messages: what parses is what would be said again. */
#include "dataplane/hello.h"
#include "dataplane/wire.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hello_message msg, again;
	uint8_t out[HELLO_SIZE_MAX], *copy;
	uint32_t len;

	if (size > 65535)
		return 0;
	copy = fuzz_copy(data, size);
	if (hello_parse(copy, (uint32_t)size, &msg)) {
		must(msg.version > 0 && msg.version <= 65535 && msg.tunnel_mtu <= 65535 &&
		     msg.vni_count <= HELLO_VNIS_MAX);
		len = hello_format(out, &msg);
		must(len <= sizeof(out) && len == sizeof(struct wire_control) + load_be16(out + 2));
		must(hello_parse(out, len, &again));
		must(again.version == msg.version && again.tunnel_mtu == msg.tunnel_mtu &&
		     again.features == msg.features && again.ack == msg.ack &&
		     again.boot == msg.boot && again.vni_count == msg.vni_count &&
		     memcmp(again.vnis, msg.vnis, msg.vni_count * sizeof(*msg.vnis)) == 0);
	}
	free(copy);
	return 0;
}
