/* SPDX-License-Identifier: MIT */
/* What is sealed in a state, as if a daemon of our key had written it: read within bounds, or void. */
#include "crypto/secret.h"
#include "ctl/handover_state.h"
#include "fuzz/fuzz.h"

#define HEAD 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct handover_moment moment = { .now_ns = 1 };
	const uint8_t key[KEY_SIZE] = { 1 }, nonce[XNONCE_SIZE] = { 0 };
	struct handover_writer out = { .used = HEAD + size };
	struct handover_state state;
	struct handover_peer peer;
	size_t len = HEAD + size + AEAD_TAG_SIZE;
	uint8_t *memory;

	if (size > 65536)
		return 0;
	must(secret_init() == 0);
	memory = malloc(len);
	must(memory != NULL);
	memset(memory, 0, len);
	if (size)
		memcpy(memory + HEAD, data, size);
	out.memory = memory;
	out.size = len;
	must(handover_state_seal(&out, &moment, nonce, key) == len);
	if (handover_state_open(&state, memory, len, &moment, key) == HANDOVER_GOOD) {
		for (uint32_t i = 0; i < state.peer_count; i++) {
			uint8_t public_key[KEY_SIZE];

			memcpy(public_key, state.peers[i], KEY_SIZE);
			must(handover_state_find_peer(&state, public_key, &peer));
			must(peer.carried.hello.vni_count <= HELLO_VNIS_MAX);
		}
		handover_state_close(&state);
	}
	free(memory);
	return 0;
}
