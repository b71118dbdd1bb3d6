/* SPDX-License-Identifier: MIT */
/*
 * Bridged networks of a device with two live sessions: host 1 of a rig, whose members
 * say and whose containers send what the input holds. It is a row of steps, each of a
 * head of four bytes (what, choice, length big-endian) and so many bytes:
 *
 *	0  a plaintext of host 0's (@choice & 1: of host 2's)
 *	1  the same behind a VXLAN header that is right (@choice & 2: of "other"; & 4: hint)
 *	2  the same, its ICMPv6 checksum mended, which random bytes never have right
 *	3  a frame from the TAP of "seg", virtio header in front (@choice & 1: of "other")
 *	4  the same, its ICMPv6 checksum mended
 *	5  the clock moves on, by so many milliseconds
 *	6  @choice becomes the guards' switches
 *
 * What must hold of whatever comes out: what containers get is of a network that its
 * member may carry and passes the guards; what members get came from a container, and
 * never from another member.
 */
#include "dataplane/guard.h"
#include "fuzz/fuzz.h"
#include "fuzz/mend.h"
#include "unit/rig.h"

#define LIFE     2000 /* inputs that one rig serves: setting it up takes longer than they do */
#define STEP_MAX 2048

static struct rig *rig;
static struct rig_host *self;
static bool sent_by_container; /* since the last look at what came out */

static bool has_sessions(const struct rig_host *host)
{
	return peer_send_keypair(host->peer, rig->now_ns) &&
	       peer_send_keypair(host->third, rig->now_ns);
}

static void prepare(void)
{
	static unsigned int uses;

	if (!rig || uses++ == LIFE) {
		if (rig)
			rig_close(rig);
		rig = rig_open_bridged();
		self = &rig->host[1];
		uses = 0;
		rig_connect_all(rig);
	}
	if (!has_sessions(&rig->host[0]) || !has_sessions(&rig->host[1]) ||
	    !has_sessions(&rig->host[2])) {
		rig_close(rig);
		rig = rig_open_bridged();
		self = &rig->host[1];
		rig_connect_all(rig);
	}
	for (unsigned int i = 0; i < rig->hosts; i++)
		rig_mark(&rig->host[i]);
}

static void check_frame(const struct rig_record *record)
{
	static uint8_t copy[RIG_PACKET_MAX + 64];
	const struct view *view = atomic_load(&self->device->view);
	const struct view_network *net = view->by_port[record->port];
	const struct member *by = record->port == RIG_PORT_SEG ? self->seg_peer : self->other_peer;
	struct guarded guarded;

	must(record->len >= 24 && record->len <= sizeof(copy));
	if (net->mode == NETWORK_ROUTED) /* which fuzz_datagram.c looks at */
		return;
	memcpy(copy, record->data, record->len);
	/* The daemon's own questions. */
	if (memcmp(copy + 16, net->network->router_mac, 6) == 0)
		return;
	/* An answer to a container is in the name of whom it asked, be it the gateway. */
	if (sent_by_container)
		by = &net->network->local;
	must(packet_parse_frame(copy + 10, record->len - 10, &guarded.frame));
	must(guard_frame(net, by, &guarded) == GUARD_PASS);
	must(guarded.has_ip || load_le64(copy) == 0);
}

static void check_datagram(const struct rig_record *record)
{
	static uint8_t plain[RIG_PACKET_MAX];
	uint32_t vni, len;
	struct frame frame;
	bool to_third = endpoint_same_remote(&record->to, &rig->host[2].address);

	must(record->len >= 4);
	if (load_le32(record->data) != MESSAGE_DATA)
		return;
	if (!rig_unseal(self, record, plain, &len) || len == 0 || plain[0] == WIRE_CONTROL_FIRST)
		return;
	must(sent_by_container && plain[0] == WIRE_VXLAN_FLAGS && len >= 22 + plain[7]);
	vni = (uint32_t)(plain[4] << 16 | plain[5] << 8 | plain[6]);
	must(vni == RIG_VNI_SEG || (vni == RIG_VNI_OTHER && !to_third));
	must(packet_parse_frame(plain + 8, len - 8 - plain[7], &frame));
	must(!(plain[8 + 6] & 1));
}

static void run(void)
{
	rig_round(self);
	for (unsigned int i = 0; i < self->frame_count; i++)
		check_frame(&self->frames[i]);
	for (unsigned int i = 0; i < self->sent_count; i++)
		check_datagram(&self->sent[i]);
	rig_mark(self);
}

/* Of a member; without TAP frames since, nothing of it may come out of the tunnel again. */
static void step_member(uint8_t what, uint8_t choice, const uint8_t *data, uint32_t len)
{
	struct rig_host *from = &rig->host[choice & 1 ? 2 : 0];
	struct peer *to_self = choice & 1 ? from->third : from->peer;
	uint8_t plain[STEP_MAX + 64], sealed[STEP_MAX + 128];
	struct keypair *kp = peer_send_keypair(to_self, rig->now_ns);
	struct session_op op = { .packet = sealed };
	uint64_t first;

	if (!kp || session_reserve(kp, 1, rig->now_ns, &first) != SESSION_OK)
		return;
	memset(plain, 0, 8);
	plain[0] = WIRE_VXLAN_FLAGS;
	plain[3] = choice & 4 ? WIRE_VXLAN_CHECKSUM_UNDONE : 0;
	plain[6] = choice & 2 ? RIG_VNI_OTHER : RIG_VNI_SEG;
	memcpy(plain + 8, data, len);
	if (what == 2)
		mend_icmpv6(plain + 8, len);
	op.len = what ? len + 8 : len;
	memcpy(sealed + sizeof(struct message_data), what ? plain : plain + 8, op.len);
	session_seal_burst(kp, first, &op, 1);
	rig_give_datagram(self, &from->address, sealed, op.len + (uint32_t)MESSAGE_DATA_OVERHEAD, 0,
	                  0);
}

static void step_container(uint8_t what, uint8_t choice, const uint8_t *data, uint32_t len)
{
	uint8_t copy[STEP_MAX];

	memcpy(copy, data, len);
	if (what == 4 && len > 10)
		mend_icmpv6(copy + 10, len - 10);
	rig_give_frame(self, choice & 1 ? RIG_PORT_OTHER : RIG_PORT_SEG, copy, len);
	sent_by_container = true;
}

static void step_guards(uint8_t choice)
{
	const struct rig_options options = {
		.guards = { .mode = choice & 1   ? GUARD_OFF
		                    : choice & 2 ? GUARD_STRICT
		                                 : GUARD_LEARN,
		            .vlans = choice & 4 ? GUARD_VLANS_ALL : GUARD_VLANS_NONE,
		            .link_control = choice & 8,
		            .any_router = choice & 16,
		            .any_dhcp = choice & 32,
		            .arp_mismatch = choice & 64,
		            .host_routing = choice & 64,
		            .drop_unknown = choice & 128 },
	};

	run();
	rig_publish(self, &options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	prepare();
	rig_publish(self, NULL);
	run();
	sent_by_container = false;
	for (unsigned int steps = 0; size >= 4 && steps < 32; steps++) {
		uint8_t what = data[0] % 7, choice = data[1];
		uint32_t len = load_be16(data + 2);

		data += 4;
		size -= 4;
		if (what == 5) {
			rig->now_ns += len * RIG_MS;
			continue;
		}
		if (what == 6) {
			step_guards(choice);
			continue;
		}
		if (len > size)
			len = (uint32_t)size;
		if (len > STEP_MAX)
			len = STEP_MAX;
		if (what < 3 && len)
			step_member(what, choice, data, len);
		else if (len)
			step_container(what, choice, data, len);
		data += len;
		size -= len;
	}
	run();
	return 0;
}
