/* SPDX-License-Identifier: MIT */
/*
 * trace: what is behind a stop, the most probable first. What looks the same from here
 * (a wrong key and a firewall that says nothing, say) is told as such, with where to look.
 */
#include "ctl/trace_tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/client.h"

#define EVIDENCE_S 300.0 /* a drop longer ago says little about now */

__attribute__((format(printf, 2, 3))) static void cause(struct trace_result *result,
                                                        const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_t *string = json_vsprintf(format, args);
	va_end(args);
	json_array_append_new(result->causes,
	                      json_pack("{s:o, s:n, s:n}", "text",
	                                string ? string : json_string("?"), "mend", "advice"));
}

/*
 * Of the cause told last: what to do about it. A command that can be typed here as it stands
 * is doctor's to tell (trace_doctor.c).
 */
__attribute__((format(printf, 2, 3))) static void advise(struct trace_result *result,
                                                         const char *format, ...)
{
	json_t *last = json_array_get(result->causes, json_array_size(result->causes) - 1);
	va_list args;

	va_start(args, format);
	json_object_set_new(last, "advice", json_vsprintf(format, args));
	va_end(args);
}

/* ---- what there is to go by ---- */

static const json_t *peer_of(const struct trace_result *result)
{
	return json_object_get(result->live ? result->live : result->start, "peer");
}

static const char *name_of(const struct trace_result *result)
{
	const char *name = client_text(peer_of(result), "name");

	return *name ? name : client_text(peer_of(result), "public_key");
}

static const char *network_of(const struct trace_result *result)
{
	return client_text(json_object_get(result->start, "network"), "name");
}

static const char *to_of(const struct trace_result *result)
{
	return client_text(result->start, "to");
}

static const char *from_of(const struct trace_result *result)
{
	return client_text(result->start, "from");
}

/* The last drop for @reason, if it is not long ago; NULL. */
static const json_t *find_drop(const struct trace_result *result, const char *reason)
{
	const json_t *last = json_object_get(result->last, "last"), *item;
	size_t i;

	json_array_foreach (last, i, item) {
		const json_t *age = json_object_get(item, "age_s");

		if (strcmp(client_text(item, "reason"), reason) == 0 && json_is_real(age) &&
		    json_real_value(age) < EVIDENCE_S)
			return item;
	}
	return NULL;
}

/* ---- no session, and no answer ---- */

static void tell_silence(struct trace_result *result)
{
	cause(result, "%s does not answer at %s: it is down, it has moved, or UDP is blocked",
	      name_of(result), client_text(peer_of(result), "endpoint"));
	advise(result, "on %s: is ovltund up? ovlctl doctor", name_of(result));
}

/* ---- where the peer says that it stops ---- */

struct explanation {
	const char *reason;
	void (*tell)(struct trace_result *result);
};

static void tell_in_source(struct trace_result *result)
{
	cause(result, "AllowedIPs of this host's [Peer] on %s have not %s", name_of(result),
	      from_of(result));
	advise(result, "on %s: ovlctl route add %s PEER, and the same in its file", name_of(result),
	       from_of(result));
}

static void tell_in_network(struct trace_result *result)
{
	cause(result,
	      "on %s no network's Subnet has both %s and %s: its bridge is not there, or has "
	      "another "
	      "prefix",
	      name_of(result), from_of(result), to_of(result));
	advise(result, "on %s: ovlctl show and docker network ls; correct Subnet of the [Network]",
	       name_of(result));
}

static void tell_in_not_local(struct trace_result *result)
{
	cause(result,
	      "for %s the address %s is another host's: its Range has it not, or AllowedIPs of a "
	      "third host's [Peer] there do. Or AllowedIPs of %s here are too wide",
	      name_of(result), to_of(result), name_of(result));
	advise(result, "on %s: ovlctl route get %s", name_of(result), to_of(result));
}

static void tell_in_gateway(struct trace_result *result)
{
	cause(result, "%s is an address of %s's own bridge: two hosts have it", from_of(result),
	      name_of(result));
}

static void tell_in_no_bridge(struct trace_result *result)
{
	cause(result, "on %s the network's bridge is not there, or the TAP is no port of it",
	      name_of(result));
	advise(result, "on %s: ovlctl show; docker network ls", name_of(result));
}

static void tell_in_vni(struct trace_result *result)
{
	const json_int_t vni = client_number(json_object_get(result->start, "network"), "vni");

	cause(result,
	      "%s has no bridged network with VNI %" JSON_INTEGER_FORMAT ", or VNIs of this "
	      "host's [Peer] there have it not",
	      name_of(result), vni);
	advise(result,
	       "on %s: VNI = %" JSON_INTEGER_FORMAT
	       " in the [Network], and VNIs = %" JSON_INTEGER_FORMAT " in this host's [Peer]",
	       name_of(result), vni, vni);
}

static void tell_in_owned(struct trace_result *result)
{
	cause(result,
	      "%s believes that another host has %s, or its MAC: two containers have the same",
	      name_of(result), from_of(result));
	advise(result, "on both: ovlctl fdb list %s", network_of(result));
}

static void tell_in_unresolved(struct trace_result *result)
{
	cause(result, "no container on %s has %s, or it is stopped", name_of(result),
	      to_of(result));
	advise(result, "on %s: docker ps; ovlctl show neigh", name_of(result));
}

static void tell_in_host_routing(struct trace_result *result)
{
	cause(result, "%s is no address of %s's bridge, whose MAC it is sent to", to_of(result),
	      name_of(result));
}

static const struct explanation explanations[] = {
	{ "in-source", tell_in_source },         { "in-network", tell_in_network },
	{ "in-not-local", tell_in_not_local },   { "in-gateway", tell_in_gateway },
	{ "in-no-bridge", tell_in_no_bridge },   { "in-vni", tell_in_vni },
	{ "in-mac-owned", tell_in_owned },       { "in-binding", tell_in_owned },
	{ "in-unresolved", tell_in_unresolved }, { "in-host-routing", tell_in_host_routing },
};

static bool is_contested(const struct trace_result *result, const char *end)
{
	return json_is_true(json_object_get(json_object_get(result->live, end), "contested"));
}

static void tell_contested(struct trace_result *result)
{
	if (is_contested(result, "here")) {
		cause(result, "two containers of this host have %s", from_of(result));
		advise(result, "ovlctl show neigh; give one of them another address");
	}
	if (is_contested(result, "answer")) {
		cause(result, "two containers on %s have %s", name_of(result), to_of(result));
		advise(result, "on %s: ovlctl show neigh; give one of them another address",
		       name_of(result));
	}
}

static void tell_no_ping(struct trace_result *result)
{
	cause(result,
	      "the container has %s and does not answer %s: %s's packet filter drops bridged "
	      "packets "
	      "(FORWARD policy DROP with br_netfilter), the container has no route back, or it "
	      "answers no pings",
	      to_of(result), from_of(result), name_of(result));
	advise(result, "on %s: ovlctl doctor; in the container: ip route get %s", name_of(result),
	       from_of(result));
}

static void tell_size(struct trace_result *result)
{
	json_int_t size = client_number(result->full, "size");

	if (!client_number(result->full_live, "answers")) {
		cause(result,
		      "a link on the way to %s takes less than this host's: datagrams with "
		      "%" JSON_INTEGER_FORMAT " bytes inside are lost, and short ones are not",
		      name_of(result), size);
		advise(result, "set a smaller MTU in [Network], or on the link of this host");
		return;
	}
	cause(result,
	      "the bridge on %s, a port of it or the container takes less than "
	      "%" JSON_INTEGER_FORMAT " bytes (its TAP: %" JSON_INTEGER_FORMAT ")",
	      name_of(result), size,
	      client_number(json_object_get(result->full_live, "answer"), "tap_mtu"));
	advise(result, "on %s: ip -d link show master BRIDGE; the same MTU for all ports",
	       name_of(result));
}

static void tell_peer(struct trace_result *result, const json_t *stop)
{
	const char *step = client_text(stop, "step"), *reason = client_text(stop, "reason");

	if (strcmp(step, "ping") == 0)
		tell_no_ping(result);
	else if (strcmp(step, "size") == 0)
		tell_size(result);
	for (size_t i = 0; i < sizeof(explanations) / sizeof(explanations[0]); i++)
		if (strcmp(explanations[i].reason, reason) == 0)
			explanations[i].tell(result);
}

/* ---- where it stops here ---- */

/* A container of this host that says that it has the peer's address. */
static void tell_taken(struct trace_result *result)
{
	const json_t *header = json_object_get(find_drop(result, "out-arp"), "header");

	if (!*to_of(result) || strcmp(client_text(header, "source"), to_of(result)) != 0)
		return;
	cause(result, "a container of this host uses %s, too (%s)", to_of(result),
	      client_text(header, "source_mac"));
	advise(result, "give it an address of this host's Range: docker network create --ip-range");
}

/* The container that sends, and the bridge on this host. */
static void tell_source(struct trace_result *result, const json_t *stop)
{
	if (*client_text(stop, "reason")) {
		cause(result, "no container of this host has %s, or it is stopped",
		      from_of(result));
		return;
	}
	if (json_is_true(json_object_get(json_object_get(result->live, "here"), "gateway"))) {
		cause(result,
		      "this host has %s itself, and does not answer %s: its packet filter drops "
		      "pings, or it sends what is for there elsewhere",
		      from_of(result), to_of(result));
		advise(result, "ip route get %s from %s; nft list ruleset", to_of(result),
		       from_of(result));
		return;
	}
	cause(result,
	      "the container has %s and does not answer %s: this host's packet filter drops "
	      "bridged "
	      "packets (FORWARD policy DROP with br_netfilter), the bridge or a port of it takes "
	      "less, the container has no route to there, or it answers no pings",
	      from_of(result), to_of(result));
	advise(result, "ovlctl doctor; in the container: ip route get %s", to_of(result));
}

/* What would tell, where nobody can: of members that were asked, who may have it all the same. */
static void tell_unknown(struct trace_result *result, const json_t *stop)
{
	const char *step = client_text(stop, "step");
	const json_t *asked;
	size_t i;

	if (strcmp(step, "probe") == 0 && strcmp(client_text(stop, "at"), "here") == 0) {
		cause(result, "%s", client_text(stop, "text"));
		advise(result, "ping anything from a container of that network, then trace again");
	} else if (strcmp(step, "station") == 0) {
		cause(result, "%s", client_text(stop, "text"));
		advise(result, "ovlctl fdb list %s tells all MACs that were heard",
		       network_of(result));
	}
	json_array_foreach (result->asked, i, asked) {
		if (json_is_true(json_object_get(asked, "answered")))
			continue;
		if (*client_text(asked, "reason"))
			cause(result,
			      "%s may be on %s, which takes no such packet of this host: %s",
			      to_of(result), client_text(asked, "peer"),
			      client_text(asked, "reason"));
		else
			cause(result, "%s may be on %s, which did not answer", to_of(result),
			      client_text(asked, "peer"));
		advise(result, "ovlctl doctor tells why; a ping from a container asks all "
		               "members, too, and those that know no probes");
	}
	if (result->unasked) {
		cause(result, "%s may be on one of %zu members more, which trace does not ask",
		      to_of(result), result->unasked);
		advise(result, "a ping from a container asks all of them; then trace again");
	}
}

static void tell_here(struct trace_result *result, const json_t *stop)
{
	const char *step = client_text(stop, "step"), *reason = client_text(stop, "reason");
	const json_t *network = json_object_get(result->start, "network");

	if (strcmp(step, "bridge") == 0) {
		cause(result, "network %s: %s", network_of(result), client_text(stop, "text"));
		advise(result, "docker network ls and ip link show %s tell whether it is there",
		       client_text(network, "bridge"));
	} else if (strcmp(step, "network") == 0) {
		cause(result, "%s", client_text(stop, "text"));
		advise(result, "a network's Subnet and a peer's AllowedIPs both have to hold it");
	} else if (strcmp(step, "source") == 0) {
		cause(result, "%s", client_text(stop, "text"));
		advise(result, "ovlctl show tells the network's Range");
	} else if (strcmp(step, "route") == 0) {
		cause(result, "%s", client_text(stop, "text"));
		if (json_is_true(json_object_get(result->start, "here")))
			advise(result, "make Range and AllowedIPs disjoint, on all hosts");
		else
			advise(result, "ovlctl route add %s PEER, and AllowedIPs in the file",
			       to_of(result));
	} else if (strcmp(step, "station") == 0) {
		cause(result, "%s", client_text(stop, "text"));
		advise(result,
		       "VNIs of the [Peer] sections on both hosts have to name it; ovlctl fdb list "
		       "%s "
		       "tells what is known",
		       network_of(result));
	} else if (strcmp(step, "members") == 0) {
		cause(result,
		      "no container of the network's members has %s, or it is stopped; nor was "
		      "one of this host heard with it",
		      to_of(result));
		advise(result, "on the host that should have it: docker ps");
	} else if (strcmp(step, "hello") == 0) {
		if (json_is_object(json_object_get(peer_of(result), "hello")))
			tell_in_vni(result);
		else
			cause(result, "%s: bridged networks need an ovltun there",
			      client_text(stop, "text"));
	} else if (strcmp(step, "arrived") == 0 || strcmp(reason, "out-stage-expired") == 0) {
		tell_silence(result);
	} else if (strcmp(reason, "out-no-endpoint") == 0) {
		cause(result, "[Peer] %s has no Endpoint that is known, and has not been heard yet",
		      name_of(result));
		advise(result,
		       "set Endpoint in its [Peer] here, or PersistentKeepalive = 25 there");
	} else if (strcmp(reason, "out-no-key") == 0) {
		cause(result,
		      "there is no private key here, or PublicKey of [Peer] %s is of low "
		      "order",
		      name_of(result));
	} else if (strcmp(step, "container") == 0 && result->live) {
		tell_source(result, stop);
	} else if (strcmp(step, "container") == 0) {
		cause(result, "no container of this host answers for %s", to_of(result));
	}
}

/* It arrives, but would have not a moment ago. */
static void tell_renewed(struct trace_result *result)
{
	if (!json_is_true(json_object_get(result->live, "renewed")))
		return;
	cause(result,
	      "%s did not answer in the session that there was, and does in the new one that was "
	      "made for this: its daemon was started anew, and its own handshakes did not arrive "
	      "here, or were not taken",
	      name_of(result));
	advise(result,
	       "ovlctl show drops --last: handshake-stale, say, is of a clock that went back");
}

void trace_tell_causes(struct trace_result *result)
{
	const json_t *stop = trace_stop(result);
	const char *at = client_text(stop, "at"), *step = client_text(stop, "step");
	bool told = trace_tell_doctors(result);

	if (!told) {
		tell_taken(result);
		tell_contested(result);
	}
	if (!stop)
		tell_renewed(result);
	if (!stop)
		return;
	if (result->verdict == TRACE_UNKNOWN) {
		tell_unknown(result, stop);
		return;
	}
	if (strcmp(at, "here") != 0 && strcmp(step, "arrived") != 0)
		tell_peer(result, stop);
	else if (strcmp(step, "container") == 0 || !told)
		tell_here(result, stop);
}
