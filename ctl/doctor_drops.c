/* SPDX-License-Identifier: MIT */
/*
 * Drop counters: what each says when it rises. One that stands still is a note, for
 * what it counted may be long over. Counters of what is dropped on every healthy host
 * (floods of the bridge, multicast) are not here.
 */
#include "ctl/doctor.h"

#include <string.h>
#include "ctl/client.h"

static const struct {
	const char *reason, *found, *means, *advice;
	enum doctor_severity rising;
} meanings[] = {
	{ "in-gateway", "duplicate address: a peer uses the address of a bridge here",
	  "two hosts gave their bridges one gateway address",
	  "docker network create --gateway: another on each host, within its Range", DOCTOR_ERROR },
	{ "out-no-route", "missing AllowedIPs: containers send to addresses that no peer has",
	  "the destination is in the Subnet, but in no peer's AllowedIPs and not in Range",
	  "ovlctl route get ADDRESS; ovlctl route add PREFIX PEER, and AllowedIPs in the file",
	  DOCTOR_ERROR },
	{ "in-source", "missing AllowedIPs: a peer sends from addresses that are not its own",
	  "the source is not in the AllowedIPs that this host has for the peer",
	  "if they are its own: AllowedIPs in its [Peer]; else it is that host's Range that is "
	  "wrong",
	  DOCTOR_ERROR },
	{ "out-source", "containers send from addresses outside of Range",
	  "a container has an address that belongs to another host, or Range is set wrong",
	  "docker network inspect: --ip-range has to be Range", DOCTOR_ERROR },
	{ "in-network", "a peer sends between addresses that are not of one network",
	  "the hosts do not agree about Subnet", "set Subnet to the same on all hosts",
	  DOCTOR_ERROR },
	{ "out-network", "containers send to addresses outside of the Subnet",
	  "the containers' mask is wider than Subnet", "set Subnet to Docker's --subnet",
	  DOCTOR_WARNING },
	{ "in-not-local", "a peer sends to addresses that live at another peer",
	  "the hosts do not agree about who has which range",
	  "compare AllowedIPs on all hosts: ovlctl route list", DOCTOR_ERROR },
	{ "out-loop", "the tunnel's own datagrams come back into it",
	  "a peer's endpoint lies in a network's Subnet",
	  "set Endpoint to the other host's address outside the overlay", DOCTOR_ERROR },
	{ "in-vni", "peer without VNI: a peer sends frames of a network it may not carry here",
	  "only one of the two ends names the VNI",
	  "ovlctl peer set PEER vnis VNI, and VNIs in its [Peer]", DOCTOR_WARNING },
	{ "in-mac-owned", "duplicate address: a peer uses a MAC that is at another host",
	  "two containers have one MAC, or one moved while it was still heard elsewhere",
	  "ovlctl fdb; give one of them another --mac-address", DOCTOR_ERROR },
	{ "out-mac-owned", "duplicate address: a container uses a MAC that is at another host",
	  "two containers have one MAC", "ovlctl fdb; give one of them another --mac-address",
	  DOCTOR_ERROR },
	{ "in-binding", "duplicate address: a peer uses an IP address that is another's",
	  "two containers of a bridged network have one address",
	  "ovlctl fdb; give one of them another address", DOCTOR_ERROR },
	{ "out-binding", "duplicate address: a container uses an IP address that is another's",
	  "two containers of a bridged network have one address",
	  "ovlctl fdb; give one of them another address", DOCTOR_ERROR },
	{ "in-quota", "a peer uses more MACs or addresses than it may",
	  "its further containers are not reached from here", "raise [Network] MACs",
	  DOCTOR_ERROR },
	{ "out-quota", "this host's containers use more MACs or addresses than a host may",
	  "further containers are not announced", "raise [Network] MACs", DOCTOR_ERROR },
	{ "in-unresolved", "no container answers for addresses that peers send to",
	  "the destination is in this host's Range, and nobody has it",
	  "ovlctl show neigh; docker network inspect", DOCTOR_WARNING },
	{ "out-no-key", "a handshake cannot be made: no usable key",
	  "this host has no private key, or the peer's public key is none",
	  "ovlctl check FILE; ovlctl reload", DOCTOR_ERROR },
	{ "out-send", "the kernel refuses to send datagrams",
	  "a packet filter drops them (EPERM), or there is no route",
	  "ip route get ENDPOINT; nft list ruleset", DOCTOR_WARNING },
	{ "out-no-endpoint", "packets for a peer whose endpoint is not known",
	  "the peer has no Endpoint here and has not called yet, or its name does not resolve",
	  "ovlctl peer set PEER endpoint ADDRESS:PORT", DOCTOR_ERROR },
	{ "tap-queue", "the daemon does not keep up with its containers",
	  "more packets come than the workers carry", "raise Workers; docs/performance.md",
	  DOCTOR_WARNING },
};

bool doctor_tells(const json_t *drops)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (doctor_count(drops, meanings[i].reason))
			return true;
	return false;
}

/* This host's own, or a peer's. */
static bool has_owner(const struct doctor *d, const struct prefix *address)
{
	const json_t *item;
	size_t i;

	json_array_foreach (d->networks, i, item) {
		const json_t *ranges = json_object_get(item, "ranges");

		/* Without a Range this host has what no peer has. */
		if (!doctor_is_bridged(item) &&
		    doctor_covering(json_array_size(ranges) ? ranges
		                                            : json_object_get(item, "subnets"),
		                    address))
			return true;
	}
	json_array_foreach (d->peers, i, item)
		if (doctor_covering(json_object_get(item, "allowed_ips"), address))
			return true;
	return false;
}

/*
 * A peer's packet came from an address that is not its own: what would make it so. Of one
 * that is another's it is no cure: who lies would be given what it asks for.
 */
static void mend_source(struct doctor *d, const json_t *last)
{
	const char *source = client_text(json_object_get(last, "header"), "source");
	const char *peer = client_text(last, "peer");
	struct prefix address;

	if (*source && *peer && prefix_parse(&address, source) && !has_owner(d, &address))
		doctor_mend(d, "%s route add %s/%d %s", client_command(), source,
		            strchr(source, ':') ? 128 : 32, peer);
}

void doctor_check_drops(struct doctor *d)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const char *reason = meanings[i].reason, *culprit, *text;
		json_int_t count = doctor_drops(d, reason);
		json_int_t rise = doctor_rise(d, reason);
		const json_t *last = doctor_last(d, reason);

		if (!count)
			continue;
		doctor_next_kind(d);
		culprit = doctor_culprit(d, reason);
		text = client_text(json_object_get(last, "header"), "text");
		doctor_find(d, rise > 0 ? meanings[i].rising : DOCTOR_NOTE,
		            "%s (%s: %" JSON_INTEGER_FORMAT "%s%s%s%s%s)", meanings[i].found,
		            reason, count, rise > 0 ? ", and rising" : "",
		            culprit ? "; most of them peer " : "", culprit ? culprit : "",
		            *text ? "; the last: " : "", text);
		doctor_means(d, "%s", meanings[i].means);
		if (strcmp(reason, "in-source") == 0)
			mend_source(d, last);
		doctor_advise(d, "%s", meanings[i].advice);
	}
}
