/* SPDX-License-Identifier: MIT */
/*
 * Two containers with one address: each answers when all are asked who has it, and one
 * answers to an address of the bridge itself, whose kernel never asks itself. Neither
 * shows in any table, since the last answer stands in the other's place.
 *
 * The question is ARP's probe (RFC 5227), from no address, so that it teaches nobody
 * anything. Answers of containers on this host take no time worth speaking of.
 */
#include "ctl/doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ctl/client.h"

#define QUESTIONS_MAX 256
#define ANSWER_MS     40
#define MAC_TEXT      18

struct question {
	uint8_t address[4];
	bool own; /* the bridge's: no answer is right */
	const json_t *peer; /* whose it is: none is but the TAP's; NULL: a container's here */
	bool answered, told;
	uint8_t mac[ETH_ALEN];
};

struct survey {
	struct doctor *d;
	const char *bridge, *router; /* the TAP's MAC, as text */
	struct question list[QUESTIONS_MAX];
	size_t count;
};

static void add_question(struct survey *survey, const char *text, bool own, const json_t *peer)
{
	struct question question = { .own = own, .peer = peer };
	char address[DOCTOR_ADDRESS_MAX];

	(void)snprintf(address, sizeof(address), "%s", text);
	address[strcspn(address, "/")] = '\0';
	if (inet_pton(AF_INET, address, question.address) != 1)
		return;
	for (size_t i = 0; i < survey->count; i++)
		if (memcmp(survey->list[i].address, question.address, sizeof(question.address)) ==
		    0)
			return;
	if (survey->count < QUESTIONS_MAX)
		survey->list[survey->count++] = question;
}

static void add_own(void *arg, const struct host_address *address)
{
	struct survey *survey = arg;
	char text[sizeof(address->text)];
	struct prefix prefix;

	(void)snprintf(text, sizeof(text), "%s", address->text);
	text[strcspn(text, "/")] = '\0';
	if (strcmp(address->device, survey->bridge) == 0 && prefix_parse(&prefix, text) &&
	    doctor_concerns(survey->d, &prefix))
		add_question(survey, text, true, NULL);
}

/* What is asked about, instead of all that is known here. */
static void add_ends(struct survey *survey)
{
	for (size_t i = 0; i < sizeof(survey->d->ends) / sizeof(survey->d->ends[0]); i++) {
		const char *end = survey->d->ends[i];
		const json_t *peer, *owner = NULL;
		struct prefix prefix;
		size_t j;

		if (!end || !prefix_parse(&prefix, end))
			continue;
		json_array_foreach (survey->d->everyone, j, peer)
			if (doctor_covering(json_object_get(peer, "allowed_ips"), &prefix))
				owner = peer;
		add_question(survey, end, false, owner);
	}
}

/* A packet socket on the bridge, with @own its MAC; -1: not for this user, or no bridge. */
static int open_socket(const char *bridge, struct sockaddr_ll *link, uint8_t own[ETH_ALEN])
{
	struct ifreq request = { .ifr_flags = 0 };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", bridge);
	*link = (struct sockaddr_ll){ .sll_family = AF_PACKET,
		                      .sll_protocol = htons(ETH_P_ARP),
		                      .sll_ifindex = (int)if_nametoindex(bridge),
		                      .sll_halen = ETH_ALEN };
	memset(link->sll_addr, 0xff, ETH_ALEN);
	if (link->sll_ifindex == 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0 ||
	    bind(fd, (const struct sockaddr *)link, sizeof(*link)) < 0) {
		close(fd);
		return -1;
	}
	memcpy(own, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return fd;
}

static void ask_all(int fd, const struct sockaddr_ll *link, const uint8_t own[ETH_ALEN],
                    const struct survey *survey)
{
	for (size_t i = 0; i < survey->count; i++) {
		struct ether_arp arp = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
			                             .ar_pro = htons(ETH_P_IP),
			                             .ar_hln = ETH_ALEN,
			                             .ar_pln = 4,
			                             .ar_op = htons(ARPOP_REQUEST) } };

		memcpy(arp.arp_sha, own, ETH_ALEN);
		memcpy(arp.arp_tpa, survey->list[i].address, sizeof(arp.arp_tpa));
		(void)sendto(fd, &arp, sizeof(arp), 0, (const struct sockaddr *)link,
		             sizeof(*link));
	}
}

static const char *format_mac(const uint8_t mac[ETH_ALEN], char out[MAC_TEXT])
{
	(void)snprintf(out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
	               mac[3], mac[4], mac[5]);
	return out;
}

static void tell(const struct survey *survey, struct question *question, const uint8_t *mac)
{
	char address[INET_ADDRSTRLEN], first[MAC_TEXT], second[MAC_TEXT];

	question->told = true;
	inet_ntop(AF_INET, question->address, address, sizeof(address));
	if (question->peer)
		doctor_find(survey->d, DOCTOR_ERROR,
		            "duplicate address: a container here has %s, which belongs to peer %s "
		            "(MAC %s)",
		            address, doctor_peer_name(question->peer), format_mac(mac, second));
	else if (question->own)
		doctor_find(survey->d, DOCTOR_ERROR,
		            "duplicate address: a container here has %s, which is the address of "
		            "the bridge %s (MAC %s)",
		            address, survey->bridge, format_mac(mac, second));
	else
		doctor_find(survey->d, DOCTOR_ERROR,
		            "duplicate address: two containers here have %s (MACs %s and %s)",
		            address, format_mac(question->mac, first), format_mac(mac, second));
	doctor_means(survey->d, "packets to it go to whichever answered last");
	doctor_advise(survey->d, "docker network inspect tells who; give one another address");
}

static void take_answer(struct survey *survey, const struct ether_arp *arp)
{
	for (size_t i = 0; i < survey->count; i++) {
		struct question *question = &survey->list[i];
		char mac[MAC_TEXT];

		if (memcmp(question->address, arp->arp_spa, sizeof(question->address)) != 0)
			continue;
		if (question->peer && strcmp(format_mac(arp->arp_sha, mac), survey->router) == 0)
			return;
		if (!question->told &&
		    (question->own || question->peer ||
		     (question->answered && memcmp(question->mac, arp->arp_sha, ETH_ALEN) != 0)))
			tell(survey, question, arp->arp_sha);
		question->answered = true;
		memcpy(question->mac, arp->arp_sha, ETH_ALEN);
		return;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void hear(int fd, struct survey *survey)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int64_t end = now_ms() + ANSWER_MS, left;

	while ((left = end - now_ms()) > 0 && poll(&wait, 1, (int)left) > 0) {
		struct ether_arp arp;

		if (recv(fd, &arp, sizeof(arp), 0) >= (ssize_t)sizeof(arp) &&
		    ntohs(arp.ea_hdr.ar_op) == ARPOP_REPLY && arp.ea_hdr.ar_hln == ETH_ALEN &&
		    arp.ea_hdr.ar_pln == 4)
			take_answer(survey, &arp);
	}
}

static void check_network(struct doctor *d, const json_t *network, const json_t *neighbours)
{
	const char *bridge = client_text(network, "bridge");
	struct survey survey = {
		.d = d, .bridge = bridge, .router = client_text(network, "router_mac"), .count = 0
	};
	struct sockaddr_ll link;
	uint8_t own[ETH_ALEN];
	json_t *entry;
	size_t i;
	int fd;

	host_each_address(d->host, add_own, &survey);
	add_ends(&survey);
	json_array_foreach (neighbours, i, entry)
		add_question(&survey, client_text(entry, "address"), false, NULL);
	if (survey.count == 0)
		return;
	fd = open_socket(bridge, &link, own);
	if (fd < 0)
		return;
	ask_all(fd, &link, own, &survey);
	hear(fd, &survey);
	close(fd);
}

/*
 * Of routed networks: on a bridged one each host's bridge may have the same address, and
 * what is there twice is counted (in-binding, in-mac-owned).
 */
void doctor_check_duplicates(struct doctor *d)
{
	bool all = !d->ends[0] && !d->ends[1];
	json_t *reply = NULL, *network, *told;
	char silence[256];
	size_t i, j;

	client_hush(silence, sizeof(silence));
	if (!d->state || !all || client_call(json_pack("{s:s}", "do", "neigh"), &reply))
		reply = NULL;
	client_hush(NULL, 0);
	json_array_foreach (d->networks, i, network) {
		const json_t *neighbours = NULL;

		if (doctor_is_bridged(network))
			continue;
		json_array_foreach (json_object_get(reply, "networks"), j, told)
			if (strcmp(client_text(told, "name"), client_text(network, "name")) == 0)
				neighbours = json_object_get(told, "neighbours");
		check_network(d, network, neighbours);
	}
	json_decref(reply);
}
