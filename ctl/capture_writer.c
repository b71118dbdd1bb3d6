/* SPDX-License-Identifier: MIT */
#include "ctl/capture_writer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/client.h"
#include "ctl/ovlctl.h"
#include "ctl/pcapng.h"
#include "dataplane/packet.h"

#define SECOND_NS   1000000000ULL
#define PEER_TEXT   96
#define SOURCES     64 /* addresses of ours that are remembered */
#define HEADERS_MAX (sizeof(struct wire_ipv6) + sizeof(struct wire_udp))
#define TTL         64
#define COMMENT_MAX 256
#define KEY_LINES   320
#define KEY_LABEL   10 /* characters of a key that has no name */

struct peer_name {
	uint8_t key[KEY_SIZE];
	char text[PEER_TEXT];
};

struct interface {
	uint8_t place;
	uint32_t network; /* its serial */
	uint64_t packets;
};

/* Which of our addresses the kernel sends from, to that one. */
struct source {
	struct endpoint to;
	struct endpoint found;
};

struct capture_writer {
	uint32_t snaplen;
	bool one_peer;
	uint64_t started_ns;
	uint64_t packets;
	struct interface *interfaces;
	size_t interface_count;
	struct peer_name *names; /* sorted by key */
	size_t name_count;
	uint64_t asked_ns; /* for names; 0: never */
	struct source sources[SOURCES];
};

static uint64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

struct capture_writer *capture_writer_open(uint32_t snaplen, bool one_peer, struct buffer *out)
{
	struct capture_writer *writer = calloc(1, sizeof(*writer));

	if (!writer || !pcapng_put_section(out, "ovlctl " OVLTUN_VERSION)) {
		free(writer);
		return NULL;
	}
	writer->snaplen = snaplen;
	writer->one_peer = one_peer;
	writer->started_ns = wall_ns();
	return writer;
}

void capture_writer_close(struct capture_writer *writer)
{
	if (!writer)
		return;
	free(writer->interfaces);
	free(writer->names);
	free(writer);
}

uint64_t capture_writer_packets(const struct capture_writer *writer)
{
	return writer->packets;
}

/* ---- names of peers ---- */

static int compare_names(const void *a, const void *b)
{
	return memcmp(((const struct peer_name *)a)->key, ((const struct peer_name *)b)->key,
	              KEY_SIZE);
}

static void ask_names(struct capture_writer *writer)
{
	json_t *reply, *peers, *peer;
	struct peer_name *names;
	size_t i, count = 0;

	writer->asked_ns = wall_ns();
	if (client_call(json_pack("{s:s}", "do", "traffic"), &reply) != OVLCTL_OK)
		return;
	peers = json_object_get(reply, "peers");
	names = calloc(json_array_size(peers) + 1, sizeof(*names));
	if (!names)
		goto out;
	json_array_foreach (peers, i, peer) {
		const char *key = client_text(peer, "public_key");

		if (!secret_from_base64(names[count].key, key, strlen(key)))
			continue;
		(void)snprintf(names[count++].text, PEER_TEXT, "%s", client_text(peer, "name"));
	}
	qsort(names, count, sizeof(*names), compare_names);
	free(writer->names);
	writer->names = names;
	writer->name_count = count;
out:
	json_decref(reply);
}

static const struct peer_name *find_name(const struct capture_writer *writer, const uint8_t *key)
{
	struct peer_name wanted;

	memcpy(wanted.key, key, KEY_SIZE);
	return writer->name_count ? bsearch(&wanted, writer->names, writer->name_count,
	                                    sizeof(*writer->names), compare_names)
	                          : NULL;
}

/* "peer barge1", or the beginning of a key. */
static void tell_peer(struct capture_writer *writer, const uint8_t *key, char comment[COMMENT_MAX])
{
	const struct peer_name *name = find_name(writer, key);
	char base64[KEY_BASE64_LEN + 1];

	/* It may have come just now. */
	if (!name && wall_ns() - writer->asked_ns > SECOND_NS) {
		ask_names(writer);
		name = find_name(writer, key);
	}
	if (name && name->text[0]) {
		(void)snprintf(comment, COMMENT_MAX, "peer %s", name->text);
		return;
	}
	secret_to_base64(base64, key);
	(void)snprintf(comment, COMMENT_MAX, "peer %.*s…", KEY_LABEL, base64);
}

/* ---- interfaces ---- */

static struct interface *find_interface(const struct capture_writer *writer,
                                        const struct capture_record *record)
{
	/* The newest first: a network that was made again has its predecessor's port. */
	for (size_t i = writer->interface_count; i-- > 0;)
		if (writer->interfaces[i].place == record->place &&
		    writer->interfaces[i].network == record->network)
			return &writer->interfaces[i];
	return NULL;
}

static struct interface *add_interface(struct capture_writer *writer,
                                       const struct capture_record *record,
                                       const struct capture_network *network, struct buffer *out)
{
	struct pcapng_interface made = { .link = PCAPNG_RAW_IP, .snaplen = writer->snaplen };
	struct interface *list =
		reallocarray(writer->interfaces, writer->interface_count + 1, sizeof(*list));
	char name[CAPTURE_NAME], description[CAPTURE_NAME + 64];

	if (!list)
		return NULL;
	writer->interfaces = list;
	list += writer->interface_count;
	*list = (struct interface){ .place = record->place, .network = record->network };
	made.name = "inner";
	made.description = "packets of no network";
	switch (record->place) {
	case CAPTURE_NO_SEGMENT:
		made.description = "frames of no network";
		made.link = PCAPNG_ETHERNET;
		break;
	case CAPTURE_UDP:
		made.name = "outer";
		made.description =
			"datagrams; their IP and UDP headers are made up from the endpoints";
		made.snaplen += (uint32_t)HEADERS_MAX;
		break;
	default:
		break;
	}
	if (network) {
		(void)snprintf(name, sizeof(name), "%.*s", CAPTURE_NAME - 1, network->name);
		(void)snprintf(description, sizeof(description), "%s network %s",
		               network->bridged ? "bridged" : "routed", name);
		made.name = name;
		made.description = description;
		made.link = network->bridged ? PCAPNG_ETHERNET : PCAPNG_RAW_IP;
	}
	if (!pcapng_put_interface(out, &made))
		return NULL;
	writer->interface_count++;
	return list;
}

/* ---- datagrams ---- */

/*
 * From where the kernel would send to @to. What a peer was not heard from yet is sent
 * without saying so; and Wireshark takes an answer for one only if the addresses agree.
 */
static void find_source(struct capture_writer *writer, const struct endpoint *to,
                        struct endpoint *found)
{
	static unsigned int next;
	struct source *source;
	socklen_t size = sizeof(found->remote);
	int fd;

	for (size_t i = 0; i < SOURCES; i++) {
		if (!endpoint_same_remote(&writer->sources[i].to, to))
			continue;
		*found = writer->sources[i].found;
		return;
	}
	source = &writer->sources[next++ % SOURCES];
	*source = (struct source){ .to = *to };
	fd = socket(to->remote.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &to->remote.sa, sizeof(to->remote)) == 0)
		(void)getsockname(fd, &source->found.remote.sa, &size);
	if (fd >= 0)
		close(fd);
	*found = source->found;
}

/* The local end of a datagram, which its endpoint may leave open. */
static void local_end(struct capture_writer *writer, const struct endpoint *endpoint,
                      uint8_t address[16])
{
	static const uint8_t open[16];
	const bool v4 = endpoint->remote.sa.sa_family == AF_INET;
	const size_t size = v4 ? 4 : 16;
	struct endpoint found = { .source_ifindex = 0 };

	memcpy(address, &endpoint->source, size);
	if (memcmp(address, open, size) != 0)
		return;
	find_source(writer, endpoint, &found);
	if (found.remote.sa.sa_family != endpoint->remote.sa.sa_family)
		return;
	memcpy(address,
	       v4 ? (const void *)&found.remote.in.sin_addr
	          : (const void *)&found.remote.in6.sin6_addr,
	       size);
}

struct addresses {
	uint8_t source[16], destination[16];
};

static uint32_t make_ipv4(uint8_t *out, const struct addresses *addresses, uint32_t len)
{
	struct wire_ipv4 *ip = (struct wire_ipv4 *)(void *)out;

	*ip = (struct wire_ipv4){ .version_ihl = 0x45, .ttl = TTL, .protocol = IPPROTO_WIRE_UDP };
	store_be16(ip->total_len.b, (uint16_t)(sizeof(*ip) + len));
	memcpy(ip->source, addresses->source, sizeof(ip->source));
	memcpy(ip->destination, addresses->destination, sizeof(ip->destination));
	packet_ipv4_checksum_fill(out);
	return sizeof(*ip);
}

static uint32_t make_ipv6(uint8_t *out, const struct addresses *addresses, uint32_t len)
{
	struct wire_ipv6 *ip = (struct wire_ipv6 *)(void *)out;

	*ip = (struct wire_ipv6){ .next_header = IPPROTO_WIRE_UDP, .hop_limit = TTL };
	out[0] = 0x60;
	store_be16(ip->payload_len.b, (uint16_t)len);
	memcpy(ip->source, addresses->source, sizeof(ip->source));
	memcpy(ip->destination, addresses->destination, sizeof(ip->destination));
	return sizeof(*ip);
}

/* IPv6 has it always (RFC 8200, 8.1). What was cut off is not there to be summed up: then any. */
static uint16_t udp_checksum(const struct addresses *addresses, const struct wire_udp *udp,
                             const struct pcapng_piece *payload)
{
	const uint32_t len = load_be16(&udp->length);
	uint8_t rest[8] = { 0 };
	uint16_t field;
	uint64_t sum;

	if (payload->len + sizeof(*udp) != len)
		return UINT16_MAX;
	store_be16(rest + 2, (uint16_t)len);
	rest[7] = IPPROTO_WIRE_UDP;
	sum = checksum_add(0, addresses, sizeof(*addresses));
	sum = checksum_add(sum, rest, sizeof(rest));
	sum = checksum_add(sum, udp, sizeof(*udp));
	field = checksum_fold(checksum_add(sum, payload->data, payload->len));
	return field ? field : UINT16_MAX;
}

/* Headers for @payload in @out. Their length; 0: of no family that is known. */
static uint32_t make_headers(struct capture_writer *writer, const struct capture_record *record,
                             const struct endpoint *endpoint, const struct pcapng_piece *payload,
                             uint8_t out[HEADERS_MAX])
{
	const bool v4 = endpoint->remote.sa.sa_family == AF_INET;
	const bool in = record->direction == CAPTURE_IN;
	const uint32_t len = record->len + (uint32_t)sizeof(struct wire_udp);
	struct addresses ends = { .source = { 0 } };
	uint8_t *remote = in ? ends.source : ends.destination;
	uint8_t *local = in ? ends.destination : ends.source;
	struct wire_udp *udp;
	uint16_t port;
	uint32_t front;

	if (!v4 && endpoint->remote.sa.sa_family != AF_INET6)
		return 0;
	if (v4)
		memcpy(remote, &endpoint->remote.in.sin_addr, 4);
	else
		memcpy(remote, &endpoint->remote.in6.sin6_addr, 16);
	local_end(writer, endpoint, local);
	front = v4 ? make_ipv4(out, &ends, len) : make_ipv6(out, &ends, len);
	udp = (struct wire_udp *)(void *)(out + front);
	memset(udp, 0, sizeof(*udp));
	port = ntohs(v4 ? endpoint->remote.in.sin_port : endpoint->remote.in6.sin6_port);
	store_be16(&udp->source, in ? port : record->port);
	store_be16(&udp->destination, in ? record->port : port);
	store_be16(&udp->length, (uint16_t)len);
	if (!v4)
		store_be16(&udp->checksum, udp_checksum(&ends, udp, payload));
	return front + (uint32_t)sizeof(*udp);
}

/* ---- records ---- */

static bool put_packet(struct capture_writer *writer, const struct capture_record *record,
                       struct buffer *out)
{
	const uint8_t *data = (const uint8_t *)(record + 1);
	const struct endpoint *endpoint = (const struct endpoint *)(const void *)data;
	struct interface *interface = find_interface(writer, record);
	char peer[COMMENT_MAX] = "", dropped[COMMENT_MAX] = "";
	struct pcapng_packet packet = { .wall_ns = record->wall_ns,
		                        .len = record->len,
		                        .comments = { peer, dropped } };
	uint8_t headers[HEADERS_MAX];

	if (!interface)
		interface = add_interface(writer, record, NULL, out);
	if (!interface)
		return false;
	packet.pieces[1] = (struct pcapng_piece){ data, record->captured };
	if (record->place == CAPTURE_UDP) {
		packet.pieces[1].data = data + sizeof(*endpoint);
		packet.pieces[0] =
			(struct pcapng_piece){ headers, make_headers(writer, record, endpoint,
			                                             &packet.pieces[1], headers) };
		if (!packet.pieces[0].len)
			return true;
		packet.len += packet.pieces[0].len;
	}
	packet.interface = (uint32_t)(interface - writer->interfaces);
	packet.direction = record->direction == CAPTURE_IN ? PCAPNG_IN : PCAPNG_OUT;
	if (record->has_peer && !writer->one_peer)
		tell_peer(writer, record->peer, peer);
	if (record->reason != DROP_NONE && record->reason < DROP_COUNT)
		(void)snprintf(dropped, sizeof(dropped), "dropped: %s: %s",
		               drop_name(record->reason), drop_text(record->reason));
	interface->packets++;
	writer->packets++;
	return pcapng_put_packet(out, &packet);
}

/* As Wireshark reads them; this host's own key is not among them (docs/capture.md). */
static bool put_key(const struct capture_record *record, struct buffer *out)
{
	static const uint8_t none[KEY_SIZE];
	const struct capture_key *key = (const struct capture_key *)(const void *)(record + 1);
	char peer[KEY_BASE64_LEN + 1], ephemeral[KEY_BASE64_LEN + 1], psk[KEY_BASE64_LEN + 1];
	char lines[KEY_LINES];
	bool has_psk = memcmp(key->psk, none, KEY_SIZE) != 0, put;

	secret_to_base64(peer, record->peer);
	secret_to_base64(ephemeral, key->ephemeral);
	secret_to_base64(psk, key->psk);
	(void)snprintf(lines, sizeof(lines),
	               "REMOTE_STATIC_PUBLIC_KEY = %s\nLOCAL_EPHEMERAL_PRIVATE_KEY = %s\n%s%s%s",
	               peer, ephemeral, has_psk ? "PRESHARED_KEY = " : "", has_psk ? psk : "",
	               has_psk ? "\n" : "");
	put = pcapng_put_wireguard_keys(out, lines);
	secret_wipe(lines, sizeof(lines));
	secret_wipe(ephemeral, sizeof(ephemeral));
	secret_wipe(psk, sizeof(psk));
	return put;
}

bool capture_writer_put(struct capture_writer *writer, const struct capture_record *record,
                        struct buffer *out)
{
	uint32_t more = record->size - (uint32_t)sizeof(*record);

	if (record->place >= CAPTURE_PLACES)
		return true;
	switch (record->type) {
	case CAPTURE_NETWORK:
		if (more < sizeof(struct capture_network) || find_interface(writer, record))
			return true;
		return add_interface(writer, record, (const void *)(record + 1), out) != NULL;
	case CAPTURE_PACKET:
		if (record->place == CAPTURE_UDP && more < sizeof(struct endpoint))
			return true;
		if (record->place == CAPTURE_UDP)
			more -= (uint32_t)sizeof(struct endpoint);
		return record->captured > more || put_packet(writer, record, out);
	case CAPTURE_KEY:
		return more < sizeof(struct capture_key) || put_key(record, out);
	default:
		return true;
	}
}

bool capture_writer_finish(struct capture_writer *writer, const struct capture_lost *lost,
                           struct buffer *out)
{
	bool told[CAPTURE_PLACES] = { false };

	for (size_t i = writer->interface_count; i-- > 0;) {
		const struct interface *interface = &writer->interfaces[i];
		struct pcapng_statistics statistics = { .interface = (uint32_t)i,
			                                .start_ns = writer->started_ns,
			                                .end_ns = wall_ns(),
			                                .now_ns = wall_ns(),
			                                .delivered = interface->packets };

		/* Of several networks that had a port the last one, as it is the likeliest. */
		if (!told[interface->place])
			statistics.dropped = lost->of[interface->place];
		told[interface->place] = true;
		if (!pcapng_put_statistics(out, &statistics))
			return false;
	}
	return true;
}
