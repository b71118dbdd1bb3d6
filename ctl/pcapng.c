/* SPDX-License-Identifier: MIT */
#include "ctl/pcapng.h"

#include <string.h>

enum block {
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BLOCK_SECRETS = 10,
	BLOCK_SECTION = 0x0a0d0d0a,
};

enum option {
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_SECTION_APPLICATION = 4,
	OPTION_INTERFACE_NAME = 2,
	OPTION_INTERFACE_DESCRIPTION = 3,
	OPTION_INTERFACE_RESOLUTION = 9,
	OPTION_PACKET_FLAGS = 2,
	OPTION_STATISTICS_START = 2,
	OPTION_STATISTICS_END = 3,
	OPTION_STATISTICS_RECEIVED = 4,
	OPTION_STATISTICS_DROPPED = 5,
	OPTION_STATISTICS_DELIVERED = 8,
};

#define BYTE_ORDER_MAGIC  0x1a2b3c4du
#define SECRETS_WIREGUARD 0x57474b4cu /* "WGKL" */
#define NANOSECONDS       9 /* negative power of ten */
#define FRAME             12 /* of a block: type and length in front, length behind */
#define TEXT_MAX_BYTES    1024

static uint32_t padded(uint32_t len)
{
	return (len + 3) & ~3u;
}

static void append(struct buffer *out, const void *data, uint32_t len)
{
	if (len)
		(void)buffer_append(out, data, len);
}

static void pad(struct buffer *out, uint32_t len)
{
	static const char zeros[4];

	append(out, zeros, padded(len) - len);
}

static void put(struct buffer *out, const void *data, uint32_t len)
{
	append(out, data, len);
	pad(out, len);
}

static void put_u32(struct buffer *out, uint32_t value)
{
	put(out, &value, sizeof(value));
}

static void put_option(struct buffer *out, enum option code, const void *data, uint32_t len)
{
	const uint16_t head[2] = { (uint16_t)code, (uint16_t)len };

	put(out, head, sizeof(head));
	put(out, data, len);
}

static void put_text(struct buffer *out, enum option code, const char *text)
{
	if (text && *text)
		put_option(out, code, text, (uint32_t)strnlen(text, TEXT_MAX_BYTES));
}

static void put_number(struct buffer *out, enum option code, uint64_t number)
{
	put_option(out, code, &number, sizeof(number));
}

/* The upper half goes first, whatever the byte order. */
static void put_time(struct buffer *out, enum option code, uint64_t ns)
{
	const uint32_t halves[2] = { (uint32_t)(ns >> 32), (uint32_t)ns };

	put_option(out, code, halves, sizeof(halves));
}

/* A block's beginning; returns where it is. */
static size_t begin(struct buffer *out, enum block type)
{
	size_t at = out->len;

	put_u32(out, (uint32_t)type);
	put_u32(out, 0);
	return at;
}

/* The block's length is known now; what did not fit is taken back. */
static bool end(struct buffer *out, size_t at)
{
	uint32_t len = (uint32_t)(out->len - at) + 4;

	put_u32(out, len);
	if (out->failed) {
		out->len = at;
		return false;
	}
	memcpy(out->data + at + 4, &len, sizeof(len));
	return true;
}

bool pcapng_put_section(struct buffer *out, const char *application)
{
	const uint16_t version[2] = { 1, 0 };
	const uint64_t unknown = UINT64_MAX; /* the section's length */
	size_t at = begin(out, BLOCK_SECTION);

	put_u32(out, BYTE_ORDER_MAGIC);
	put(out, version, sizeof(version));
	put(out, &unknown, sizeof(unknown));
	put_text(out, OPTION_SECTION_APPLICATION, application);
	put_option(out, OPTION_END, NULL, 0);
	return end(out, at);
}

bool pcapng_put_interface(struct buffer *out, const struct pcapng_interface *interface)
{
	const uint16_t link[2] = { (uint16_t)interface->link, 0 };
	const uint8_t resolution = NANOSECONDS;
	size_t at = begin(out, BLOCK_INTERFACE);

	put(out, link, sizeof(link));
	put_u32(out, interface->snaplen);
	put_text(out, OPTION_INTERFACE_NAME, interface->name);
	put_text(out, OPTION_INTERFACE_DESCRIPTION, interface->description);
	put_option(out, OPTION_INTERFACE_RESOLUTION, &resolution, sizeof(resolution));
	put_option(out, OPTION_END, NULL, 0);
	return end(out, at);
}

bool pcapng_put_packet(struct buffer *out, const struct pcapng_packet *packet)
{
	const struct pcapng_piece *pieces = packet->pieces;
	const uint32_t kept = pieces[0].len + pieces[1].len;
	const uint32_t flags = packet->direction;
	const uint32_t head[5] = { packet->interface, (uint32_t)(packet->wall_ns >> 32),
		                   (uint32_t)packet->wall_ns, kept, packet->len };
	size_t at = begin(out, BLOCK_PACKET);

	put(out, head, sizeof(head));
	append(out, pieces[0].data, pieces[0].len);
	append(out, pieces[1].data, pieces[1].len);
	pad(out, kept);
	if (flags)
		put_option(out, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	put_text(out, OPTION_COMMENT, packet->comments[0]);
	put_text(out, OPTION_COMMENT, packet->comments[1]);
	put_option(out, OPTION_END, NULL, 0);
	return end(out, at);
}

bool pcapng_put_statistics(struct buffer *out, const struct pcapng_statistics *statistics)
{
	const uint32_t head[3] = { statistics->interface, (uint32_t)(statistics->now_ns >> 32),
		                   (uint32_t)statistics->now_ns };
	size_t at = begin(out, BLOCK_STATISTICS);

	put(out, head, sizeof(head));
	put_time(out, OPTION_STATISTICS_START, statistics->start_ns);
	put_time(out, OPTION_STATISTICS_END, statistics->end_ns);
	put_number(out, OPTION_STATISTICS_RECEIVED, statistics->delivered + statistics->dropped);
	put_number(out, OPTION_STATISTICS_DROPPED, statistics->dropped);
	put_number(out, OPTION_STATISTICS_DELIVERED, statistics->delivered);
	put_option(out, OPTION_END, NULL, 0);
	return end(out, at);
}

bool pcapng_put_wireguard_keys(struct buffer *out, const char *lines)
{
	size_t at = begin(out, BLOCK_SECRETS);

	put_u32(out, SECRETS_WIREGUARD);
	put_u32(out, (uint32_t)strlen(lines));
	put(out, lines, (uint32_t)strlen(lines));
	put_option(out, OPTION_END, NULL, 0);
	return end(out, at);
}

size_t pcapng_whole(const char *data, size_t len)
{
	size_t at = 0;
	uint32_t block;

	while (len - at >= FRAME) {
		memcpy(&block, data + at + 4, sizeof(block));
		if (block < FRAME || block > len - at)
			break;
		at += block;
	}
	return at;
}
