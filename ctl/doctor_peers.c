/* SPDX-License-Identifier: MIT */
/* Checks of the peers: endpoints, handshakes, VNIs, AllowedIPs. */
#include "ctl/doctor.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ctl/client.h"
#include "ctl/resolve.h"

#define RESOLVE_MS     3000
#define RESOLVE_FDS    16
#define PROBES_MAX     64
#define PROBE_MS       250
#define PROBE_PAUSE_MS 1100
#define PROBE_TRIES    3
#define SILENT_S       180
#define ANSWER_S       1 /* a handshake's answer takes less */

/* Names */

struct names {
	struct doctor *d;
	size_t waiting;
};

struct name {
	struct names *names;
	const json_t *peer;
	const char *host;
	int status;
	bool done;
};

static void take_name(void *arg, int status, const struct endpoint *result)
{
	struct name *name = arg;

	(void)result;
	name->status = status;
	name->done = true;
	name->names->waiting--;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void await_names(struct resolve *resolve, const struct names *names)
{
	int64_t end = now_ms() + RESOLVE_MS;

	while (names->waiting && now_ms() < end) {
		struct pollfd fds[RESOLVE_FDS];
		int timeout = (int)(end - now_ms());
		unsigned int n = resolve_poll_fds(resolve, fds, RESOLVE_FDS, &timeout);

		(void)poll(fds, n, timeout);
		resolve_dispatch(resolve, fds, n);
	}
}

static void tell_name(struct doctor *d, const struct name *name)
{
	if (name->done && name->status == 0)
		return;
	doctor_find(d, DOCTOR_ERROR, "the endpoint of peer %s does not resolve: %s (%s)",
	            doctor_peer_name(name->peer), name->host,
	            name->done && name->status == -ENOENT ? "no such name"
	                                                  : "no DNS server answers");
	doctor_means(d, "the daemon does not know where to send; the peer can only call itself");
	doctor_advise(d, "getent ahosts %s; correct Endpoint, /etc/hosts or /etc/resolv.conf",
	              name->host);
}

static void check_names(struct doctor *d)
{
	static struct config_endpoint parsed[PROBES_MAX];
	struct name list[PROBES_MAX];
	struct names names = { d, 0 };
	struct resolve *resolve = NULL;
	json_t *peer;
	size_t i, count = 0;

	json_array_foreach (d->peers, i, peer) {
		const char *text = client_text(peer, "endpoint_name");

		if (count == PROBES_MAX || !*text || !config_parse_endpoint(&parsed[count], text) ||
		    parsed[count].numeric)
			continue;
		if (!resolve && resolve_open(&resolve))
			return;
		list[count] = (struct name){ &names, peer, parsed[count].host, 0, false };
		names.waiting++;
		resolve_request(resolve, parsed[count].host, parsed[count].port, take_name,
		                &list[count]);
		count++;
	}
	if (!resolve)
		return;
	await_names(resolve, &names);
	resolve_close(resolve);
	for (i = 0; i < count; i++)
		tell_name(d, &list[i]);
}

/* A socket that talks to the endpoint alone, so that it hears of errors. Or -errno. */
static int connect_to(const struct doctor *d, const char *endpoint)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		                  .ai_socktype = SOCK_DGRAM };
	json_int_t mark = client_number(json_object_get(d->state, "device"), "fwmark");
	char address[DOCTOR_ADDRESS_MAX], service[16];
	struct addrinfo *found;
	int port, ret, fwmark = (int)mark;

	if (!doctor_split(endpoint, address, &port))
		return -EINVAL;
	(void)snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(address, service, &hints, &found))
		return -EINVAL;
	ret = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ret >= 0 && mark)
		(void)setsockopt(ret, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark));
	if (ret < 0 || connect(ret, found->ai_addr, found->ai_addrlen) < 0) {
		int err = -errno;

		if (ret >= 0)
			close(ret);
		ret = err;
	}
	freeaddrinfo(found);
	return ret;
}

static void check_way(struct doctor *d, const json_t *peer, const char *endpoint)
{
	const char *name = doctor_peer_name(peer);
	char address[DOCTOR_ADDRESS_MAX];
	struct host_route route;
	json_t *network;
	size_t i;
	int port, fd;

	if (!doctor_split(endpoint, address, &port))
		return;
	fd = connect_to(d, endpoint);
	if (fd >= 0)
		close(fd);
	if (fd == -ENETUNREACH || fd == -EHOSTUNREACH || fd == -EACCES) {
		doctor_find(d, DOCTOR_ERROR, "no route to the endpoint of peer %s, %s", name,
		            endpoint);
		doctor_means(d, "this host does not know by which device to send there");
		doctor_advise(d, "ip route get %s; ip route add %s via GATEWAY", address, address);
		return;
	}
	if (!host_find_route(d->host, address, &route))
		return;
	if (route.own) {
		doctor_find(d, DOCTOR_ERROR, "the endpoint of peer %s, %s, is this host itself",
		            name, endpoint);
		doctor_means(d, "datagrams for the peer come back here");
		doctor_advise(d, "set Endpoint to an address of the other host");
	}
	json_array_foreach (d->networks, i, network) {
		if (!*route.device || strcmp(route.device, client_text(network, "bridge")) != 0)
			continue;
		doctor_find(d, DOCTOR_ERROR,
		            "the way to the endpoint of peer %s, %s, is network %s itself", name,
		            endpoint, client_text(network, "name"));
		doctor_means(d, "the tunnel would carry its own datagrams; they are dropped");
		doctor_advise(d, "set Endpoint to the other host's address outside the overlay");
	}
}

void doctor_check_endpoints(struct doctor *d)
{
	json_t *peer;
	size_t i;

	check_names(d);
	json_array_foreach (d->peers, i, peer) {
		const char *found = client_text(peer, "endpoint");
		const char *named = client_text(peer, "endpoint_name");

		/* Where it was found, and where it is looked for after a restart. */
		check_way(d, peer, named);
		if (strcmp(found, named) != 0)
			check_way(d, peer, found);
	}
}

/* Handshakes */

static bool has_session(const json_t *peer)
{
	return json_is_integer(json_object_get(peer, "session_age_s"));
}

/* For how long it was called in vain by now; 0: it is not. */
static double unanswered_s(const json_t *peer)
{
	return json_number_value(json_object_get(peer, "unanswered_s"));
}

static bool is_silent(const struct doctor *d, const json_t *peer)
{
	const json_t *age = json_object_get(peer, "latest_handshake_age_s");

	return d->silent || !json_is_integer(age) || json_integer_value(age) > SILENT_S ||
	       unanswered_s(peer) >= ANSWER_S;
}

/* Waits for errors on @fds, which are closed by them, until @end. */
static void await_errors(struct pollfd *fds, int *errors, size_t count, int64_t end)
{
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++)
		waiting += fds[i].fd >= 0;
	while (waiting && now_ms() < end && poll(fds, count, (int)(end - now_ms())) > 0) {
		for (size_t i = 0; i < count; i++) {
			socklen_t size = sizeof(errors[i]);

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &errors[i], &size);
			close(fds[i].fd);
			fds[i].fd = -1;
			waiting--;
		}
	}
}

/* Of those that are waited for. */
static bool any_session(const struct pollfd *fds, const json_t *const *peers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i].fd >= 0 && has_session(peers[i]))
			return true;
	return false;
}

/*
 * What ICMP says of the way to each of them: one byte, which a peer throws away. A host
 * sends no more than an error a second, and those may have gone to the messages of a
 * session that is there: then that is tried again, a second later.
 */
static void probe(const struct doctor *d, const json_t *const *peers, int *errors, size_t count)
{
	struct pollfd fds[PROBES_MAX];
	int64_t start = now_ms();

	for (size_t i = 0; i < count; i++) {
		int fd = connect_to(d, doctor_endpoint(peers[i]));

		/* No way there is no news: the endpoints were looked at. */
		errors[i] = fd == -EINVAL ? 0 : fd < 0 ? ENOTCONN : 0;
		fds[i] = (struct pollfd){ .fd = fd < 0 ? -1 : fd, .events = POLLIN };
		if (fd >= 0 && send(fd, "", 1, MSG_NOSIGNAL) < 0) {
			errors[i] = errno;
			close(fd);
			fds[i].fd = -1;
		}
	}
	await_errors(fds, errors, count, start + PROBE_MS);
	for (int tries = 1; tries < PROBE_TRIES && any_session(fds, peers, count); tries++) {
		start += PROBE_PAUSE_MS;
		await_errors(fds, errors, count, start);
		for (size_t i = 0; i < count; i++)
			if (fds[i].fd >= 0 && has_session(peers[i]))
				(void)send(fds[i].fd, "", 1, MSG_NOSIGNAL);
		await_errors(fds, errors, count, start + PROBE_MS);
	}
	for (size_t i = 0; i < count; i++)
		if (fds[i].fd >= 0)
			close(fds[i].fd);
}

static bool has_tried(const struct doctor *d, const json_t *peer)
{
	const json_t *drops = json_object_get(peer, "drops");

	return d->silent || unanswered_s(peer) >= ANSWER_S ||
	       client_number(drops, "out-stage-expired") > 0;
}

static bool is_at(const json_t *peer, const char *address)
{
	char own[DOCTOR_ADDRESS_MAX];
	int port;

	return doctor_split(doctor_endpoint(peer), own, &port) && strcmp(own, address) == 0;
}

/*
 * Whether what was dropped last for that reason came after the peer's last handshake and
 * from where it is; @strangers: or from where no peer is. The world's scanners count, too.
 */
static bool came_from(const struct doctor *d, const json_t *peer, const char *reason,
                      bool strangers)
{
	const json_t *last = doctor_last(d, reason), *other;
	double when = json_number_value(json_object_get(last, "when"));
	char from[DOCTOR_ADDRESS_MAX];
	size_t i;
	int port;

	if (!last || when < (double)client_number(peer, "latest_handshake"))
		return false;
	if (!doctor_split(client_text(last, "from"), from, &port))
		return false;
	if (is_at(peer, from))
		return true;
	json_array_foreach (d->everyone, i, other)
		if (is_at(other, from))
			return false;
	return strangers;
}

static void tell_refused(struct doctor *d, const json_t *peer)
{
	doctor_find(d, DOCTOR_ERROR,
	            "nobody listens at the endpoint of peer %s, %s: its daemon does not run, or "
	            "has another port",
	            doctor_peer_name(peer), doctor_endpoint(peer));
	doctor_means(d, "the other host answers that the port is closed");
	doctor_advise(
		d,
		"at the other host: ovlctl show says whether ovltund runs, and its port; if it "
		"is another one, here: %s peer set %s endpoint "
		"ADDRESS:PORT, and Endpoint in its [Peer]",
		client_command(), doctor_peer_name(peer));
}

static bool tell_wrong_key(struct doctor *d, const json_t *peer)
{
	const char *name = doctor_peer_name(peer);

	if (client_number(json_object_get(peer, "drops"), "handshake-invalid") > 0 &&
	    (!client_number(peer, "latest_handshake") ||
	     came_from(d, peer, "handshake-invalid", false))) {
		doctor_find(d, DOCTOR_ERROR,
		            "wrong key: peer %s answers, but by another PresharedKey", name);
		doctor_means(d, "both hosts know each other's PublicKey, and the answer to this "
		                "host's handshake does not decrypt");
		doctor_advise(d, "put the same key into [Peer] PresharedKey at both hosts, or into "
		                 "neither, then ovlctl reload");
	} else if (came_from(d, peer, "handshake-invalid", true)) {
		doctor_find(d, DOCTOR_ERROR,
		            "wrong key: no handshake with peer %s, and somebody calls with a "
		            "key that is no peer's here (%s)",
		            name, client_text(doctor_last(d, "handshake-invalid"), "from"));
		doctor_means(d, "the PublicKey of the peer in this host's file is not the one it "
		                "has");
		doctor_advise(d, "ovlctl show at the other host tells its public key: put it into "
		                 "[Peer] PublicKey here, then ovlctl reload");
	} else if (came_from(d, peer, "handshake-mac1", false)) {
		doctor_find(d, DOCTOR_ERROR,
		            "wrong key: no handshake with peer %s, which calls this host by "
		            "another public key",
		            name);
		doctor_means(d,
		             "the other host's file has a wrong or an old PublicKey of this host");
		doctor_advise(d,
		              "put this host's public key, %s, into [Peer] PublicKey there, then "
		              "ovlctl reload there",
		              client_text(json_object_get(d->state, "device"), "public_key"));
	} else {
		return false;
	}
	return true;
}

static void tell_silence(struct doctor *d, const json_t *peer)
{
	const char *name = doctor_peer_name(peer), *endpoint = doctor_endpoint(peer);

	/* What an earlier check has said already is no mystery. */
	if (client_number(json_object_get(peer, "drops"), "handshake-stale") > 0 ||
	    tell_wrong_key(d, peer))
		return;
	if (has_tried(d, peer) && *endpoint) {
		doctor_find(d, DOCTOR_ERROR,
		            "blocked UDP: peer %s was called at %s, and nothing came back", name,
		            endpoint);
		doctor_means(d, "a firewall on the way or at the other host drops UDP, the address "
		                "is another's, the other host is down, or it takes no handshake of "
		                "this one: it does not know its key, or clocks went back");
		doctor_advise(d,
		              "at the other host: ovlctl doctor, and tcpdump -ni any udp port %s "
		              "shows whether anything arrives",
		              strrchr(endpoint, ':') + 1);
	} else {
		doctor_find(d, DOCTOR_NOTE, "no handshake with peer %s yet", name);
		doctor_means(d, "%s",
		             !*endpoint ? "it has no Endpoint here, and has not called"
		             : unanswered_s(peer) > 0 ? "it was called a moment ago"
		                                      : "nothing was to be sent to it so far");
	}
}

static void judge(struct doctor *d, const json_t *peer, int err)
{
	const char *name = doctor_peer_name(peer);

	if (err == ENOTCONN)
		return;
	if (err == ECONNREFUSED) {
		tell_refused(d, peer);
	} else if (err == EHOSTUNREACH || err == ENETUNREACH) {
		doctor_find(d, DOCTOR_ERROR, "the endpoint of peer %s, %s, is not reached: %s",
		            name, doctor_endpoint(peer), strerror(err));
		doctor_means(d, "no host answers at that address, or a router knows no way");
		doctor_advise(d, "check Endpoint; ip neigh; traceroute");
	} else if (!json_is_integer(json_object_get(peer, "latest_handshake_age_s")) ||
	           has_tried(d, peer)) {
		tell_silence(d, peer);
	} /* else nothing was to be said for a while */
}

void doctor_check_handshakes(struct doctor *d)
{
	const json_t *silent[PROBES_MAX];
	size_t count = 0, more = 0, i;
	int errors[PROBES_MAX];
	json_t *peer;

	json_array_foreach (d->peers, i, peer) {
		if (!d->state || !is_silent(d, peer))
			continue;
		if (count < PROBES_MAX)
			silent[count++] = peer;
		else
			more++;
	}
	if (count)
		probe(d, silent, errors, count);
	for (i = 0; i < count; i++)
		judge(d, silent[i], errors[i]);
	if (!more)
		return;
	doctor_find(d, DOCTOR_NOTE, "%zu more peers have no session, and were not called", more);
	doctor_means(d, "doctor calls %d of them, one datagram each", PROBES_MAX);
}

/* Bridged networks' members */

static bool has_vni(const json_t *vnis, json_int_t vni)
{
	size_t i;
	json_t *item;

	json_array_foreach (vnis, i, item)
		if (json_integer_value(item) == vni)
			return true;
	return false;
}

/* Its VNIs and one more, as ovlctl takes them: they replace those that it has. False: too many for @out. */
static bool with_vni(const json_t *vnis, json_int_t vni, char *out, size_t size)
{
	size_t used = 0, i;
	json_t *item;

	json_array_foreach (vnis, i, item) {
		int n = snprintf(out + used, size - used, "%lld,",
		                 (long long)json_integer_value(item));

		used += n > 0 ? (size_t)n : 0;
		if (used >= size)
			return false;
	}
	return snprintf(out + used, size - used, "%lld", (long long)vni) < (int)(size - used);
}

static void check_grant(struct doctor *d, const json_t *network, const json_t *peer)
{
	json_int_t vni = client_number(network, "vni");
	const json_t *hello = json_object_get(peer, "hello");
	const char *name = doctor_peer_name(peer);
	char list[256];

	if (!has_vni(json_object_get(peer, "vnis"), vni)) {
		if (!has_vni(json_object_get(hello, "vnis"), vni))
			return;
		doctor_find(d, DOCTOR_ERROR,
		            "peer without VNI: %s carries VNI %lld (network %s), "
		            "and may not here",
		            name, (long long)vni, client_text(network, "name"));
		doctor_means(d, "its frames are dropped, and it gets none");
		if (with_vni(json_object_get(peer, "vnis"), vni, list, sizeof(list)))
			doctor_mend(d, "%s peer set %s vnis %s", client_command(), name, list);
		doctor_advise(d, "and VNIs in its [Peer], or the next reload takes it back");
	} else if (json_is_object(hello) && !has_vni(json_object_get(hello, "vnis"), vni)) {
		doctor_find(
			d, DOCTOR_ERROR,
			"peer without VNI: %s does not grant VNI %lld (network %s) to this host",
			name, (long long)vni, client_text(network, "name"));
		doctor_means(d, "both ends have to name the VNI; no frame goes until they do");
		doctor_advise(d,
		              "at the other host: ovlctl peer set THIS-HOST vnis %lld, and VNIs in "
		              "its [Peer]",
		              (long long)vni);
	}
}

void doctor_check_members(struct doctor *d)
{
	json_t *network, *peer;
	size_t i, j;

	json_array_foreach (d->networks, i, network) {
		json_int_t vni = client_number(network, "vni");
		bool any = false;

		if (!doctor_is_bridged(network))
			continue;
		json_array_foreach (d->peers, j, peer) {
			any |= has_vni(json_object_get(peer, "vnis"), vni);
			check_grant(d, network, peer);
		}
		if (any)
			continue;
		doctor_find(d, DOCTOR_ERROR,
		            "peer without VNI: no peer has VNI %lld, so network %s "
		            "has no member but this host",
		            (long long)vni, client_text(network, "name"));
		doctor_means(d, "nothing of it goes through the tunnel");
		doctor_advise(d, "%s peer set PEER vnis %lld, and VNIs in its [Peer]",
		              client_command(), (long long)vni);
	}
}

/* AllowedIPs */

static const json_t *network_of(const struct doctor *d, const struct prefix *prefix)
{
	json_t *network;
	size_t i;

	json_array_foreach (d->networks, i, network)
		if (doctor_covering(json_object_get(network, "subnets"), prefix))
			return network;
	return NULL;
}

/* Of a network that takes them from its bridge, while there is no bridge. */
static bool subnets_unknown(const struct doctor *d)
{
	json_t *network;
	size_t i;

	json_array_foreach (d->networks, i, network)
		if (!doctor_is_bridged(network) &&
		    json_array_size(json_object_get(network, "subnets")) == 0)
			return true;
	return false;
}

static void check_prefix(struct doctor *d, const json_t *peer, const char *text)
{
	const json_t *network;
	struct prefix prefix;
	struct host_route route;
	char address[DOCTOR_ADDRESS_MAX];
	bool found;

	if (!prefix_parse(&prefix, text) || prefix.len == 0)
		return;
	network = network_of(d, &prefix);
	if (!doctor_concerns(d, &prefix) || (!network && subnets_unknown(d)))
		return;
	if (!network) {
		doctor_find(d, DOCTOR_WARNING, "AllowedIPs %s of peer %s is in no network's Subnet",
		            text, doctor_peer_name(peer));
		doctor_means(d, "packets for it are not carried");
		doctor_advise(d, "correct AllowedIPs, or add the range to a network's Subnet");
		return;
	}
	(void)snprintf(address, sizeof(address), "%s", text);
	address[strcspn(address, "/")] = '\0';
	if (!json_is_true(json_object_get(network, "attached")))
		return;
	found = host_find_route(d->host, address, &route);
	if (found && (route.own || route.refuses ||
	              strcmp(route.device, client_text(network, "bridge")) == 0))
		return;
	doctor_find(d, DOCTOR_WARNING, "missing route: this host sends to %s of peer %s by %s",
	            text, doctor_peer_name(peer), found ? route.device : "no way");
	doctor_means(d, "containers get there, this host itself does not");
	doctor_mend(d, "ip route replace %s dev %s", text,
	            doctor_word(d, client_text(network, "bridge")));
}

void doctor_check_allowed(struct doctor *d)
{
	json_t *peer, *prefix;
	size_t i, j;

	json_array_foreach (d->peers, i, peer) {
		const json_t *list = json_object_get(peer, "allowed_ips");

		json_array_foreach (list, j, prefix)
			check_prefix(d, peer, json_string_value(prefix));
		if (json_array_size(list) || json_array_size(json_object_get(peer, "vnis")))
			continue;
		doctor_find(d, DOCTOR_ERROR, "peer %s has neither AllowedIPs nor VNIs",
		            doctor_peer_name(peer));
		doctor_means(d, "nothing is sent to it, and all that it sends is dropped");
		doctor_advise(d, "%s route add PREFIX %s, and AllowedIPs in its [Peer]",
		              client_command(), doctor_peer_name(peer));
	}
}
