/* SPDX-License-Identifier: MIT */
/*
 * Writes what two engines say to each other as a capture, and the keys they used
 * as a key log, for a dissector that this project did not write:
 *
 *	sim_capture OUT.pcap OUT.keys
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "crypto/secret.h"
#include "dataplane/packet.h"
#include "sim/sim.h"

#define LINKTYPE_RAW 101

static FILE *pcap, *keys;

static void put32(uint32_t v)
{
	(void)fwrite(&v, sizeof(v), 1, pcap);
}

static bool capture(struct sim *sim, struct sim_node *from, uint8_t *data, uint32_t len)
{
	const struct sim_node *to = &sim->nodes[1 - from->id];
	uint8_t headers[28] = { 0x45 };

	store_be16(headers + 2, (uint16_t)(len + sizeof(headers)));
	headers[8] = 64;
	headers[9] = IPPROTO_WIRE_UDP;
	memcpy(headers + 12, &from->address.remote.in.sin_addr, 4);
	memcpy(headers + 16, &to->address.remote.in.sin_addr, 4);
	packet_ipv4_checksum_fill(headers);
	store_be16(headers + 20, ntohs(from->address.remote.in.sin_port));
	store_be16(headers + 22, ntohs(to->address.remote.in.sin_port));
	store_be16(headers + 24, (uint16_t)(len + 8));
	put32((uint32_t)(sim->now_ns / SIM_SECOND));
	put32((uint32_t)(sim->now_ns % SIM_SECOND / 1000));
	put32(len + (uint32_t)sizeof(headers));
	put32(len + (uint32_t)sizeof(headers));
	(void)fwrite(headers, sizeof(headers), 1, pcap);
	(void)fwrite(data, len, 1, pcap);
	return true;
}

static void put_key(const char *name, const uint8_t *key)
{
	char text[KEY_BASE64_LEN + 1];

	secret_to_base64(text, key);
	(void)fprintf(keys, "%s = %s\n", name, text);
}

/* Every 32 random bytes that are asked for may become an ephemeral key; the others match nothing. */
static void drawn(struct sim *sim, const uint8_t *bytes, size_t len)
{
	uint8_t key[KEY_SIZE];

	(void)sim;
	if (len != KEY_SIZE)
		return;
	memcpy(key, bytes, KEY_SIZE);
	secret_clamp(key);
	put_key("LOCAL_EPHEMERAL_PRIVATE_KEY", key);
}

int main(int argc, char **argv)
{
	struct sim *sim = sim_open(1, 2);

	if (argc != 3)
		return 2;
	pcap = fopen(argv[1], "wb");
	keys = fopen(argv[2], "w");
	if (!pcap || !keys)
		return 1;
	put32(0xa1b2c3d4);
	put32(2 | 4 << 16);
	put32(0);
	put32(0);
	put32(65535);
	put32(LINKTYPE_RAW);
	for (unsigned int i = 0; i < 2; i++) {
		put_key("LOCAL_STATIC_PRIVATE_KEY", sim->nodes[i].private_key);
		put_key("REMOTE_STATIC_PUBLIC_KEY", sim->nodes[i].public_key);
	}
	sim->filter = capture;
	sim->drawn = drawn;
	for (uint32_t i = 0; i < 10; i++) {
		sim_send(sim, i & 1, 1 - (i & 1), i, 100 * i);
		sim_run(sim, SIM_SECOND, NULL, NULL);
	}
	sim_close(sim);
	return fclose(pcap) || fclose(keys) ? 1 : 0;
}
