-- SPDX-License-Identifier: MIT
--
-- Wireshark dissector for what an ovltun session carries (docs/protocol.md).
--
-- Wireshark decrypts WireGuard with a key log and hands the plaintext to its IP
-- dissector, which calls anything but IPv4 and IPv6 a "bogus version". This
-- post-dissector finds those plaintexts and shows what they are: frames with a
-- VXLAN header, IP packets with the checksum hint, control messages.
--
--	wireshark -X lua_script:ovltun.lua
--	tshark -X lua_script:ovltun.lua -o wg.keylog_file:KEYS -d udp.port==12345,wg -r FILE -V

local ovltun = Proto("ovltun", "ovltun session payload")

local kinds = {
	[0x0] = "Ethernet frame (VXLAN)",
	[0x1] = "control message",
	[0x5] = "IPv4, checksum undone",
	[0x7] = "IPv6, checksum undone",
}
local controls = { [1] = "hello", [2] = "announce", [3] = "ack", [4] = "check", [5] = "echo", [6] = "echo reply",
	[7] = "probe", [8] = "probe reply",
	[9] = "join", [10] = "join reply", [11] = "introduce", [12] = "introduce reply" }
local stages = { "heard", "admitted", "attached", "found", "written", "answered" }
local families = { [0] = "MAC", [4] = "IPv4", [6] = "IPv6" }

local f = {
	kind = ProtoField.uint8("ovltun.kind", "Kind", base.HEX, kinds, 0xf0),
	hint = ProtoField.bool("ovltun.checksum_undone", "Checksum undone", 8, nil, 0x01),
	pad = ProtoField.uint8("ovltun.pad", "Pad length", base.DEC),
	control = ProtoField.uint8("ovltun.control", "Control message", base.DEC, controls),
	length = ProtoField.uint16("ovltun.control.length", "Length", base.DEC),
	version = ProtoField.uint16("ovltun.hello.version", "Version", base.DEC),
	features = ProtoField.uint64("ovltun.hello.features", "Features", base.HEX),
	feature_hint = ProtoField.bool("ovltun.hello.feature.checksum_hint", "Checksum hint", 64, nil, 0x1),
	feature_frames = ProtoField.bool("ovltun.hello.feature.frames", "Frames", 64, nil, 0x2),
	feature_echo = ProtoField.bool("ovltun.hello.feature.echo", "Echo", 64, nil, 0x4),
	feature_introduce = ProtoField.bool("ovltun.hello.feature.introduce", "Introductions", 64, nil, 0x10),
	host = ProtoField.bytes("ovltun.join.host", "Host"),
	name = ProtoField.string("ovltun.join.name", "Name"),
	endpoint = ProtoField.string("ovltun.join.endpoint", "Endpoint"),
	prefix = ProtoField.bytes("ovltun.join.prefix", "Prefix"),
	introducer = ProtoField.none("ovltun.join.introducer", "Introducer"),
	verdict = ProtoField.uint16("ovltun.join.verdict", "Verdict", base.DEC, { [0] = "yes" }),
	text = ProtoField.string("ovltun.join.text", "Text"),
	proof = ProtoField.bytes("ovltun.join.proof", "Proof"),
	after = ProtoField.bytes("ovltun.join.after", "After"),
	bridge = ProtoField.string("ovltun.join.bridge", "Bridge"),
	subnet = ProtoField.bytes("ovltun.join.subnet", "Subnet"),
	feature_probe = ProtoField.bool("ovltun.hello.feature.probe", "Probes", 64, nil, 0x8),
	number = ProtoField.uint64("ovltun.echo.number", "Number", base.DEC),
	mtu = ProtoField.uint16("ovltun.hello.tunnel_mtu", "Tunnel MTU", base.DEC),
	vnis = ProtoField.uint32("ovltun.hello.vni", "VNI", base.DEC),
	ack = ProtoField.none("ovltun.hello.ack", "Acknowledgement"),
	boot = ProtoField.uint64("ovltun.boot", "Boot", base.DEC),
	vni = ProtoField.uint32("ovltun.announce.vni", "VNI", base.DEC),
	from = ProtoField.uint64("ovltun.announce.from", "From", base.DEC),
	to = ProtoField.uint64("ovltun.announce.to", "To", base.DEC),
	finish = ProtoField.none("ovltun.announce.end", "End: that is all there is"),
	station = ProtoField.none("ovltun.station", "Station"),
	sequence = ProtoField.uint64("ovltun.station.sequence", "Sequence number", base.DEC),
	gone = ProtoField.bool("ovltun.station.gone", "Gone", 8, nil, 0x01),
	family = ProtoField.uint8("ovltun.station.family", "Family", base.DEC, families),
	mac = ProtoField.ether("ovltun.station.mac", "MAC"),
	ipv4 = ProtoField.ipv4("ovltun.station.ipv4", "Address"),
	ipv6 = ProtoField.ipv6("ovltun.station.ipv6", "Address"),
	vlan = ProtoField.uint16("ovltun.station.vlan", "VLAN", base.DEC, nil, 0x0fff),
	service = ProtoField.bool("ovltun.station.service_tag", "Service tag", 16, nil, 0x8000),
	packet_family = ProtoField.uint8("ovltun.probe.family", "Family", base.DEC),
	packet_protocol = ProtoField.uint8("ovltun.probe.protocol", "Protocol", base.DEC),
	packet_length = ProtoField.uint16("ovltun.probe.length", "Length", base.DEC),
	packet_source = ProtoField.ipv4("ovltun.probe.source", "Source"),
	packet_destination = ProtoField.ipv4("ovltun.probe.destination", "Destination"),
	packet_source6 = ProtoField.ipv6("ovltun.probe.source6", "Source"),
	packet_destination6 = ProtoField.ipv6("ovltun.probe.destination6", "Destination"),
	link_destination = ProtoField.ether("ovltun.probe.destination_mac", "Destination MAC"),
	link_source = ProtoField.ether("ovltun.probe.source_mac", "Source MAC"),
	stage = ProtoField.uint8("ovltun.probe.stage", "Stage", base.DEC, stages),
	pending = ProtoField.bool("ovltun.probe.pending", "Not the last word", 8, nil, 0x01),
	gateway = ProtoField.bool("ovltun.probe.gateway", "The bridge itself", 8, nil, 0x02),
	contested = ProtoField.bool("ovltun.probe.contested", "Two MACs claim it", 8, nil, 0x04),
	flooded = ProtoField.bool("ovltun.probe.flooded", "Goes to all ports", 8, nil, 0x08),
	reason = ProtoField.string("ovltun.probe.reason", "Reason"),
	tap_mtu = ProtoField.uint16("ovltun.probe.tap_mtu", "TAP MTU", base.DEC),
	received = ProtoField.uint64("ovltun.probe.received", "Received", base.DEC),
	lost = ProtoField.uint64("ovltun.probe.lost", "Lost", base.DEC),
	sent = ProtoField.uint64("ovltun.probe.sent", "Sent", base.DEC),
	dropped = ProtoField.uint64("ovltun.probe.dropped", "Dropped", base.DEC),
	unknown = ProtoField.bytes("ovltun.tlv", "Unknown TLV"),
}
ovltun.fields = f

local malformed = ProtoExpert.new("ovltun.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
ovltun.experts = { malformed }

-- It has no name to ask for; its port has.
local vxlan = DissectorTable.get("udp.port"):get_dissector(4789)

local ip_version = Field.new("ip.version")
local wg_type = Field.new("wg.type")

local function add_station(tree, value)
	local item = tree:add(f.station, value)
	if value:len() < 16 then
		item:add_proto_expert_info(malformed)
		return
	end
	item:add(f.sequence, value(0, 8))
	item:add(f.gone, value(8, 1))
	item:add(f.family, value(9, 1))
	item:add(f.mac, value(10, 6))
	local lengths = { [0] = 0, [4] = 4, [6] = 16 }
	local len = lengths[value(9, 1):uint()]
	if not len or value:len() < 16 + len then
		item:add_proto_expert_info(malformed)
		return
	end
	if len == 4 then
		item:add(f.ipv4, value(16, 4))
	elseif len == 16 then
		item:add(f.ipv6, value(16, 16))
	end
	for at = 16 + len, value:len() - 2, 2 do
		item:add(f.vlan, value(at, 2))
		item:add(f.service, value(at, 2))
	end
end

local function add_packet(tree, value)
	local lengths = { [0] = 4, [4] = 12, [6] = 36 }
	if value:len() < 4 or value:len() ~= lengths[value(0, 1):uint()] then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(f.packet_family, value(0, 1))
	tree:add(f.packet_protocol, value(1, 1))
	tree:add(f.packet_length, value(2, 2))
	if value:len() == 12 then
		tree:add(f.packet_source, value(4, 4))
		tree:add(f.packet_destination, value(8, 4))
	elseif value:len() == 36 then
		tree:add(f.packet_source6, value(4, 16))
		tree:add(f.packet_destination6, value(20, 16))
	end
end

-- By type: the length it has (nil: any), and how it is shown.
local tlvs = {
	[1] = { 2, function(tree, v) tree:add(f.version, v) end },
	[2] = { 8, function(tree, v)
		local item = tree:add(f.features, v)
		item:add(f.feature_hint, v)
		item:add(f.feature_frames, v)
		item:add(f.feature_echo, v)
		item:add(f.feature_introduce, v)
		item:add(f.feature_probe, v)
	end },
	[3] = { 2, function(tree, v) tree:add(f.mtu, v) end },
	[4] = { nil, function(tree, v)
		for at = 0, v:len() - 4, 4 do
			tree:add(f.vnis, v(at, 4))
		end
	end },
	[5] = { 0, function(tree, v) tree:add(f.ack, v) end },
	[6] = { 8, function(tree, v) tree:add(f.boot, v) end },
	[7] = { 4, function(tree, v) tree:add(f.vni, v) end },
	[8] = { 8, function(tree, v) tree:add(f.from, v) end },
	[9] = { 8, function(tree, v) tree:add(f.to, v) end },
	[10] = { nil, add_station },
	[11] = { 0, function(tree, v) tree:add(f.finish, v) end },
	[12] = { 8, function(tree, v) tree:add(f.number, v) end },
	[32] = { 32, function(tree, v) tree:add(f.host, v) end },
	[33] = { nil, function(tree, v) tree:add(f.name, v) end },
	[34] = { nil, function(tree, v) tree:add(f.endpoint, v) end },
	[35] = { nil, function(tree, v) tree:add(f.prefix, v) end },
	[36] = { 0, function(tree, v) tree:add(f.introducer, v) end },
	[37] = { 2, function(tree, v) tree:add(f.verdict, v) end },
	[38] = { nil, function(tree, v) tree:add(f.text, v) end },
	[39] = { 16, function(tree, v) tree:add(f.proof, v) end },
	[40] = { 32, function(tree, v) tree:add(f.after, v) end },
	[41] = { nil, function(tree, v) tree:add(f.bridge, v) end },
	[42] = { nil, function(tree, v) tree:add(f.subnet, v) end },
	[48] = { nil, add_packet },
	[49] = { 12, function(tree, v)
		tree:add(f.link_destination, v(0, 6))
		tree:add(f.link_source, v(6, 6))
	end },
	[50] = { nil, function(tree, v)
		tree:add(f.stage, v(0, 1))
		if v:len() > 1 then
			for _, flag in ipairs({ f.pending, f.gateway, f.contested, f.flooded }) do
				tree:add(flag, v(1, 1))
			end
		end
		if v:len() > 2 then
			tree:add(f.reason, v(2))
		end
	end },
	[51] = { 4, function(tree, v)
		tree:add(f.mtu, v(0, 2))
		tree:add(f.tap_mtu, v(2, 2))
	end },
	[52] = { 24, function(tree, v)
		tree:add(f.received, v(0, 8))
		tree:add(f.lost, v(8, 8))
		tree:add(f.sent, v(16, 8))
	end },
	[53] = { nil, function(tree, v)
		if v:len() > 8 then
			tree:add(f.dropped, v(0, 8)):add(f.reason, v(8))
		end
	end },
}

local function dissect_control(tvb, pinfo, tree)
	if tvb:len() < 4 then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(f.control, tvb(1, 1))
	tree:add(f.length, tvb(2, 2))
	pinfo.cols.info:append(" ovltun " .. (controls[tvb(1, 1):uint()] or "control"))
	local at, stop = 4, 4 + tvb(2, 2):uint()
	while at < stop do
		if stop > tvb:len() or at + 4 > stop then
			tree:add_proto_expert_info(malformed)
			return
		end
		local kind, len = tvb(at, 2):uint(), tvb(at + 2, 2):uint()
		at = at + 4
		if at + len > stop then
			tree:add_proto_expert_info(malformed)
			return
		end
		-- An empty value has no range of its own: its header stands for it.
		local value = len > 0 and tvb(at, len) or tvb(at - 4, 4)
		local known = tlvs[kind]
		if known and (known[1] == nil or known[1] == len) then
			known[2](tree, value)
		else
			tree:add(f.unknown, value)
			if known then
				tree:add_proto_expert_info(malformed)
			end
		end
		at = at + len
	end
end

local function dissect_frame(tvb, pinfo, tree, root)
	local pad = tvb:len() >= 8 and tvb(7, 1):uint() or 0
	if tvb:len() < 22 + pad or pad > 15 then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(f.hint, tvb(3, 1))
	tree:add(f.pad, tvb(7, 1))
	vxlan:call(tvb(0, tvb:len() - pad):tvb(), pinfo, root)
end

-- The same packet with its first nibble put right, for Wireshark's own dissector.
local function dissect_hinted(tvb, pinfo, root)
	local bytes = tvb:bytes()
	bytes:set_index(0, bytes:get_index(0) - 0x10)
	Dissector.get("ip"):call(bytes:tvb("IP, checksum undone"), pinfo, root)
end

function ovltun.dissector(_, pinfo, root)
	if not wg_type() then
		return
	end
	for _, field in ipairs({ ip_version() }) do
		local version = field.value
		if field.offset == 0 and kinds[version] then
			local tvb = field.source:range():tvb()
			local tree = root:add(ovltun, tvb())
			tree:add(f.kind, tvb(0, 1))
			if version == 0x0 then
				dissect_frame(tvb, pinfo, tree, root)
			elseif version == 0x1 then
				dissect_control(tvb, pinfo, tree)
			else
				dissect_hinted(tvb, pinfo, root)
			end
		end
	end
end

register_postdissector(ovltun)
