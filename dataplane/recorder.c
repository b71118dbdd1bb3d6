/* SPDX-License-Identifier: MIT */
#include "dataplane/recorder.h"

#include <string.h>
#include "dataplane/device.h"
#include "dataplane/peer.h"

#define READ_TRIES 64 /* one a millisecond is written: more than two never meet a reader */

static void fill(struct recorder_entry *entry, const struct peer *peer,
                 const struct network *network, const struct recorder_subject *subject)
{
	struct header header;

	if (peer) {
		entry->has_peer = true;
		memcpy(entry->peer, peer->public_key, KEY_SIZE);
	}
	if (network)
		entry->network = network->serial;
	if (!subject || subject->kind == HEADER_NONE)
		return;
	entry->kind = (uint8_t)subject->kind;
	entry->len = subject->len;
	if (subject->from)
		entry->from = *subject->from;
	header_parse(&header, subject->kind, subject->data, subject->len);
	entry->header_len = (uint8_t)header.len;
	memcpy(entry->header, subject->data, header.len);
}

void recorder_write(struct recorder_slot *slot, uint64_t now_ns, const struct peer *peer,
                    const struct network *network, const struct recorder_subject *subject)
{
	uint32_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
	uint64_t words[RECORDER_WORDS] = { 0 };
	struct recorder_entry entry;

	if (sequence & 1 ||
	    !atomic_compare_exchange_strong_explicit(&slot->sequence, &sequence, sequence + 1,
	                                             memory_order_acquire, memory_order_relaxed))
		return;
	memset(&entry, 0, sizeof(entry));
	entry.when_ns = now_ns;
	fill(&entry, peer, network, subject);
	memcpy(words, &entry, sizeof(entry));
	for (size_t i = 0; i < RECORDER_WORDS; i++)
		atomic_store_explicit(&slot->words[i], words[i], memory_order_release);
	atomic_store_explicit(&slot->next_ns, now_ns + RECORDER_PAUSE_NS, memory_order_relaxed);
	atomic_store_explicit(&slot->sequence, sequence + 2, memory_order_release);
}

bool recorder_read(const struct recorder *recorder, enum drop reason, struct recorder_entry *entry)
{
	const struct recorder_slot *slot = &recorder->slots[reason];
	uint64_t words[RECORDER_WORDS];

	for (unsigned int tries = 0; tries < READ_TRIES; tries++) {
		uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);

		if (!before)
			return false;
		for (size_t i = 0; i < RECORDER_WORDS; i++)
			words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
		if (before & 1 ||
		    atomic_load_explicit(&slot->sequence, memory_order_relaxed) != before)
			continue;
		memcpy(entry, words, sizeof(*entry));
		return true;
	}
	return false;
}
