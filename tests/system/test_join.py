# SPDX-License-Identifier: MIT
"""ovlctl invite and join: one host more, which the others hear of by themselves."""
import base64
import hashlib
import ipaddress
import json
import re
import socket
import struct
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from lab import Daemon, Lab, LabError, keypair, wait_for
from lab.client import Client, control
from lab.daemon import build_folder

OVLCTL = build_folder().resolve() / "ctl" / "ovlctl"
COMPLETION = build_folder().resolve() / "packaging" / "ovlctl"
SUBNET = "172.20.0.0/16"


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def range_of(host):
    return f"172.20.{101 + host.index}.0/24"


class Member:
    """A host with a bridge, a container and a daemon."""

    def __init__(self, host, start=True):
        self.host = host
        self.private, self.public = keypair()
        self.daemon = None
        if start:
            self.prefix = f"172.20.{101 + host.index}"
            self.make_network()

    def make_bridge(self):
        self.host.bridge(address=f"{self.prefix}.1/16")

    def make_network(self):
        self.make_bridge()
        self.container = self.host.container(f"c{self.host.index + 1}", bridge="ovl0", address=f"{self.prefix}.2/16",
                                             gateway=f"{self.prefix}.1")

    def run(self, peers, interface="", marks=()):
        """@marks: whose introductions are taken."""
        text = (f"[Interface]\nPrivateKey = {self.private}\nListenPort = 12345\n{interface}"
                f"[Network]\nBridge = ovl0\nRange = {self.prefix}.0/24\n")
        for peer in peers:
            text += (f"[Peer]\nName = {peer.host.name}\nPublicKey = {peer.public}\nEndpoint = {peer.host.underlay}:12345\n"
                     f"AllowedIPs = {peer.prefix}.0/24\n" + ("Introducer = yes\n" if peer in marks else ""))
        self.daemon = Daemon(self.host, text, io="poll", start=False)
        self.daemon.options = ["--state-dir", self.daemon.folder / "state"]
        self.daemon.start()
        self.daemon.attached()


def members_of(lab, marked=True):
    """Host 0 may invite, the others (all but the last host) take its word, if @marked."""
    members = [Member(host) for host in lab.hosts[:-1]]
    for member in members:
        others = [m for m in members if m is not member]
        if member is members[0]:
            member.run(others, interface="Introducer = yes\n")
        else:
            member.run(others, marks=members[:1] if marked else ())
    return members


def invite(member, *argv):
    """The token; standard error goes with the lab's run()."""
    out = member.daemon.ctl("invite", *argv, "--endpoint", member.host.underlay, "--json")
    return json.loads(out)["token"]


def join(host, folder, token, *argv):
    result = subprocess.run([*host.argv([OVLCTL]), "join", token, "--config", folder / "peers.conf",
                             "--name", host.name, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            encoding="utf-8", timeout=40, check=False)
    return result.returncode, result.stdout


def start_joined(host, folder, out):
    """As the printed lines say, without Docker."""
    member = Member(host, start=False)
    line, = [line for line in out.splitlines() if line.startswith("docker network create")]
    found = re.fullmatch(rf"docker network create --subnet {SUBNET} --ip-range (\S+)\.0/24 --gateway (\S+) "
                         r"--opt com\.docker\.network\.bridge\.name=ovl0 ovl", line)
    member.prefix = found.group(1)
    assert found.group(2) == f"{member.prefix}.1"
    member.make_network()
    member.daemon = Daemon(host, "", io="poll", start=False)
    member.daemon.config = folder / "peers.conf"
    member.daemon.options = ["--state-dir", member.daemon.folder / "state"]
    member.daemon.start()
    member.daemon.attached()
    return member


def assert_all_ping(members, seconds=10):
    for a in members:
        for b in members:
            if a is not b:
                wait_for(lambda: a.container.ping(b.container.address), seconds, f"{a.host.name} to {b.host.name}")


def restart(member):
    assert member.daemon.stop() == 0
    member.daemon.start()
    member.daemon.attached()


def invitations(member):
    return json.loads(member.daemon.ctl("invite", "list", "--json"))


def test_a_fourth_host_comes(tmp_path):
    """Its key stays; all others hear of it; the token is used up, also after restarts."""
    with Lab(4) as lab:
        members, new = members_of(lab), lab[3]
        token = invite(members[0], "172.20.104.0/24")
        assert members[0].daemon.show()["peers"][-1]["name"].startswith("invite-")
        code, out = join(new, tmp_path, token)
        assert code == 0, out
        assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {"peers.conf": 0o600, "private.key": 0o600}
        private = (tmp_path / "private.key").read_text().strip()
        public = subprocess.run([OVLCTL, "pubkey"], input=private + "\n", stdout=subprocess.PIPE, encoding="utf-8",
                                check=True).stdout.strip()
        for member in members:
            wait_for(lambda: any(p["public_key"] == public for p in member.daemon.show()["peers"]), 5,
                     f"{member.host.name} to hear of it")
            assert private not in member.daemon.log + member.daemon.ctl("show", "--json")
        # As what it is, and not as any other peer that is added; here by whom, there from whom.
        for member, kind in zip(members, ("joined", "introduced", "introduced")):
            told = [e for e in json.loads(member.daemon.ctl("events", "--json"))["events"] if e["public_key"] == public]
            assert told[0]["kind"] == kind and told[0]["text"].startswith("172.20.104.0/24 by "), told
            assert "peer-added" not in {e["kind"] for e in told}
        # It is told apart from peers, and nobody is offered one that is over.
        text, state = members[0].daemon.ctl("show"), members[0].daemon.show()
        assert "invite-" not in text and text.endswith("\ninvitations: 1 used (ovlctl invite list)\n")
        assert sorted(p["invitation"] or "" for p in state["peers"]) == ["", "", "", "used"]
        invite(members[0], "172.20.108.0/24")
        opened = invitations(members[0])["invitations"][-1]["id"]
        assert "\ninvitations: 1 open, 1 used (" in members[0].daemon.ctl("show")
        line = [OVLCTL, "--socket", members[0].daemon.socket, "peer", "remove", ""]
        offered = members[0].host.run(["bash", "-c", f'source "{COMPLETION}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ovlctl; '
                                       'echo "${COMPREPLY[@]}"', "bash", *line]).split()
        assert [word for word in offered if word.startswith("invite-")] == [opened] and new.name in offered
        members[0].daemon.ctl("peer", "remove", opened)
        config = (tmp_path / "peers.conf").read_text()
        assert config.count("[Peer]") == 3 and config.count("Introducer = yes") == 1 and private not in config

        joined = start_joined(new, tmp_path, out)
        assert joined.container.address == "172.20.104.2"
        assert_all_ping(members + [joined])
        wait_for(lambda: invitations(members[0])["introduced"][0]["untold"] == [], 5)

        # What is in no file is no fault of the file's, and an invitation no peer that is set wrong.
        invite(members[0], "172.20.109.0/24")
        for member in members:
            out = member.host.run([OVLCTL, "--socket", member.daemon.socket, "doctor", "-c", member.daemon.config], check=False)
            assert "the daemon has not what" not in out and "invite-" not in out, out

        # A second use, by another host and key; then what a restart knows.
        other = tmp_path / "other"
        code, out = join(new, other, token, "--port", "12346")
        assert code == 1 and "refused by the introducer: the token has been used already" in out
        assert list(other.iterdir()) == []
        for member in members:
            restart(member)
        code, out = join(new, other, token, "--port", "12346")
        assert code == 1 and "the token has been used already" in out
        assert_all_ping(members + [joined])

        # Nothing is overwritten.
        code, out = join(new, tmp_path, token)
        assert code == 2 and "is there already" in out
        assert (tmp_path / "peers.conf").read_text() == config

        # What one member removed stays removed there, and there alone.
        members[1].daemon.ctl("peer", "remove", new.name)
        wait_for(lambda: "gone" in journal(members[1]), 5, "the journal to say so")
        members[1].daemon.ctl("reload")
        restart(members[0])
        restart(members[1])
        wait_for(lambda: members[1].container.ping(members[0].container.address), 10)
        assert all(p["name"] != new.name for p in members[1].daemon.show()["peers"])
        assert any(p["name"] == new.name for p in members[2].daemon.show()["peers"])


def journal(member):
    return (member.daemon.folder / "state" / "peers.journal").read_text()


def test_what_is_refused(tmp_path):
    with Lab(3) as lab:
        members, new = members_of(lab), lab[2]
        introducer = members[0].daemon

        def refused(*argv):
            out = members[0].host.run([OVLCTL, "--socket", introducer.socket, "invite", *argv, "--endpoint",
                                       new.underlay], check=False)
            assert "ovl1-" not in out
            return out

        # What was typed is quoted, not what was made of it.
        assert '--endpoint "bla:bla": expected ADDRESS, ADDRESS:PORT,' in refused("172.20.104.0/24", "--endpoint", "bla:bla")
        assert '--expires "31d": expected a time such as 15m' in refused("172.20.104.0/24", "--expires", "31d")
        name = members[1].host.name
        for setting, value in (("keepalive", "70000"), ("keepalive", "often"), ("vnis", "x")):
            out = introducer.ctl("peer", "set", name, setting, value, check=False)
            assert f'{setting} "{value}": expected' in out, out

        assert f"172.20.102.0/24 is peer {lab[1].name}'s already" in refused("172.20.102.0/24")
        assert "172.20.100.0/22 overlaps 172.20.101.0/24, which is this host's own" in refused("172.20.100.0/22")
        assert "10.0.0.0/24 is in no network's Subnet here" in refused("10.0.0.0/24")
        assert "Introducer = yes" in members[1].host.run(
            [OVLCTL, "--socket", members[1].daemon.socket, "invite", "172.20.104.0/24", "--endpoint", "a:1"], check=False)

        # Taken while the token was on its way.
        token = invite(members[0], "172.20.104.0/24")
        introducer.ctl("peer", "set", lab[1].name, "allowed-ips", "172.20.102.0/24,172.20.104.128/25")
        code, out = join(new, tmp_path, token)
        assert code == 1
        assert f"172.20.104.0/24 overlaps 172.20.104.128/25, which is peer {lab[1].name}'s" in out
        introducer.ctl("peer", "set", lab[1].name, "allowed-ips", "172.20.102.0/24")
        code, out = join(new, tmp_path, token, "--name", lab[1].name)
        assert code == 1 and f"the name {lab[1].name} is another peer's" in out
        code, out = join(new, tmp_path, token, "--range", "172.20.105.0/24")
        assert code == 1 and "172.20.105.0/24 is not what the token is for" in out

        # Copied wrongly: nothing is sent.
        code, out = join(new, tmp_path, token[:-1])
        assert code == 2 and "not a whole token" in out or "typing error" in out
        swapped = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
        code, out = join(new, tmp_path, swapped)
        assert code == 2 and "typing error" in out
        assert list(tmp_path.iterdir()) == []

        # Expired, and revoked.
        short = invite(members[0], "172.20.106.0/24", "--expires", "1s")
        wait_for(lambda: invitations(members[0])["invitations"][-1]["state"] == "expired", 5)
        code, out = join(new, tmp_path, short)
        assert code == 1 and "the token has expired" in out
        assert "expired" in introducer.ctl("invite", "list")
        revoked = invitations(members[0])["invitations"][0]["id"]
        introducer.ctl("peer", "remove", revoked)
        wait_for(lambda: invitations(members[0])["invitations"][0]["state"] == "revoked", 5)

        # Of a range the first free part. A peer that has the whole Subnet, which only the bridge knows, is in nobody's way.
        introducer.ctl("peer", "set", lab[1].name, "allowed-ips", f"172.20.102.0/24,{SUBNET}")
        token = invite(members[0], "172.20.100.0/22", "--prefix", "24")
        code, out = join(new, tmp_path, token)
        assert code == 0 and "its containers have 172.20.100.0/24" in out, out


def test_whose_word_is_not_taken(tmp_path):
    """A member that did not mark the introducer drops what it says, and counts; a conflict is refused, and named."""
    with Lab(4) as lab:
        members, new = members_of(lab, marked=False), lab[3]
        token = invite(members[0], "172.20.104.0/24")
        code, out = join(new, tmp_path, token)
        assert code == 0, out
        wait_for(lambda: members[1].daemon.drops("in-introduction") > 0, 5)
        assert all(p["name"] != new.name for p in members[1].daemon.show()["peers"])
        assert sorted(invitations(members[0])["introduced"][0]["untold"]) == sorted(m.host.name for m in members[1:])

        # Marked now, but with a neighbour in the way.
        config = members[1].daemon.config
        text = config.read_text().replace(f"{members[0].prefix}.0/24\n", f"{members[0].prefix}.0/24\nIntroducer = yes\n")
        config.write_text(text.replace(f"{members[2].prefix}.0/24", f"{members[2].prefix}.0/24, 172.20.104.7/32"))
        members[1].daemon.ctl("reload")
        conflict = f"172.20.104.0/24 overlaps 172.20.104.7/32, which is peer {lab[2].name}'s"
        # The introducer comes back to it with a new session at the latest.
        restart(members[0])
        wait_for(lambda: conflict in members[1].daemon.log, 10)
        wait_for(lambda: conflict in members[0].daemon.log, 10)
        assert all(p["name"] != new.name for p in members[1].daemon.show()["peers"])


def host_tlvs(public, prefix, number):
    net = ipaddress.ip_network(prefix)

    def tlv(kind, value):
        return struct.pack(">HH", kind, len(value)) + value
    return control(11, tlv(12, struct.pack(">Q", number)), tlv(32, base64.b64decode(public)),
                   tlv(35, bytes([4, net.prefixlen]) + net.network_address.packed))


def test_an_introducer_that_lies(tmp_path):
    """It can bring in hosts, and displace, change or bring back none."""
    with Lab(2) as lab:
        victim, liar = Member(lab[0]), Member(lab[1], start=False)
        liar.prefix = "172.20.102"
        victim.run([liar], marks=[liar])
        keys = [keypair()[1] for _ in range(6)]
        with Client(lab[1], liar.private, victim.public, (lab[0].underlay, 12345), features=0x17) as client:
            client.connect()

            def say(public, prefix, number):
                """The verdict of the answer: 0 is yes."""
                client.take()
                for _ in range(5):  # as introducers do: messages may be lost
                    client.send(host_tlvs(public, prefix, number))
                    try:
                        answer = wait_for(lambda: next((p for p in client.take() if p[:2] == b"\x10\x0c"), None), 1)
                        break
                    except LabError:
                        continue
                else:
                    raise LabError(victim.daemon.describe())
                fields = Client.fields(answer)
                return struct.unpack(">H", fields[37])[0], fields.get(38, b"").decode()

            assert say(keys[0], "172.20.0.0/16", 1)[1] == "172.20.0.0/16 overlaps 172.20.101.0/24, which is this host's own"
            assert say(keys[0], "172.20.102.0/25", 2)[1].endswith(f"which is peer {lab[1].name}'s")
            assert say(keys[0], "0.0.0.0/0", 3)[1] == "its range is in no network's Subnet here"
            assert say(keys[0], "10.0.0.0/24", 4)[1] == "its range is in no network's Subnet here"
            assert say(keys[1], "172.20.104.0/24", 5) == (0, "")
            for _ in range(2):  # said again, as if the answer had been lost
                assert say(keys[2], "172.20.104.0/24", 6)[0] == 1
            # Known: neither another range nor an endpoint changes anything.
            assert say(keys[1], "172.20.105.0/24", 7) == (0, "")
            assert victim.daemon.peer(keys[1])["allowed_ips"] == ["172.20.104.0/24"]
            # Removed: what it said before is not heard again.
            victim.daemon.ctl("peer", "remove", keys[1])
            assert say(keys[1], "172.20.104.0/24", 5) == (0, "")
            assert len(victim.daemon.show()["peers"]) == 1
            restart(victim)
            client.connect()
            assert say(keys[1], "172.20.104.0/24", 5) == (0, "")
            assert len(victim.daemon.show()["peers"]) == 1
            # Low order, and what does not parse.
            assert say("A" * 43 + "=", "172.20.106.0/24", 8)[1] == "its public key cannot be used"
            before = victim.daemon.drops("in-control")
            client.send(control(11, b"\0\x20\0\x20short"))
            wait_for(lambda: victim.daemon.drops("in-control") == before + 1, 5)
            # An ordinary peer of a daemon does not ask to join.
            client.send(control(9))
            wait_for(lambda: victim.daemon.drops("in-join") == 1, 5)


def say_host(client, message):
    """An introducer's message, until it is answered. The verdict: 0 is yes."""
    client.take()
    client.send(message)
    answer = wait_for(lambda: next((p for p in client.take() if p[:2] == b"\x10\x0c"), None), 5)
    return struct.unpack(">H", Client.fields(answer)[37])[0]


def test_a_bridge_that_comes_later(tmp_path):
    """Without a bridge there is no Subnet yet: that is no reason to refuse for good. And a try changes nothing."""
    with Lab(2) as lab:
        victim, liar = Member(lab[0]), Member(lab[1], start=False)
        liar.prefix = "172.20.102"
        victim.run([liar], marks=[liar])
        private, public = keypair()
        lab[0].run("ip link del ovl0")
        assert victim.daemon.stop() == 0
        victim.daemon.start()
        with Client(lab[1], liar.private, victim.public, (lab[0].underlay, 12345), features=0x17) as client:
            client.connect()
            client.send(host_tlvs(public, "172.20.104.0/24", 5))
            wait_for(lambda: victim.daemon.drops("in-no-bridge") == 1, 5)
            victim.make_bridge()
            victim.daemon.attached()
            assert say_host(client, host_tlvs(public, "172.20.104.0/24", 5)) == 0
        assert victim.daemon.peer(public)["allowed_ips"] == ["172.20.104.0/24"]

        config = victim.daemon.config
        text = config.read_text()
        config.write_text(text.replace("172.20.102.0/24", "172.20.102.0/24, 172.20.104.7/32"))
        victim.daemon.ctl("reload")
        assert not invitations(victim)["introduced"][0]["in_force"]
        config.write_text(text)
        out = lab[0].run([OVLCTL, "--socket", victim.daemon.socket, "sync", config, "--dry-run"], check=False)
        assert f"peer {public[:10]}… added" in out
        restart(victim)
        assert victim.daemon.peer(public)["allowed_ips"] == ["172.20.104.0/24"]


class Invited:
    """Who has a token, and a key pair for the host that is to join, and says what it likes."""

    def __init__(self, lab, member, token, port=12345):
        raw = base64.urlsafe_b64decode(token[5:] + "=" * (-len(token[5:]) % 4))
        secret = raw[41:73]
        own = hashlib.blake2s(b"ovltun invitation key\0" + secret).digest()
        self.client = Client(lab[1], base64.b64encode(own), member.public, (lab[0].underlay, 12345), port=port,
                             psk=hashlib.blake2s(b"ovltun invitation psk\0" + secret).digest())
        self.private, self.public = (base64.b64decode(key) for key in keypair())
        introducer = base64.b64decode(member.public)
        shared = X25519PrivateKey.from_private_bytes(self.private).exchange(X25519PublicKey.from_public_bytes(introducer))
        self.proof = hashlib.blake2s(b"ovltun join\0" + self.client.own + introducer + self.public, key=shared,
                                     digest_size=16).digest()

    def wish(self, name="barge9", proof=None):
        def tlv(kind, value):
            return struct.pack(">HH", kind, len(value)) + value
        return control(9, tlv(32, self.public), tlv(33, name.encode()), tlv(39, proof or self.proof))

    def ask(self, *args, **kwargs):
        """The answer's fields."""
        self.client.take()
        for _ in range(5):  # what comes too fast is not answered
            self.client.send(self.wish(*args, **kwargs))
            try:
                return Client.fields(wait_for(lambda: next((p for p in self.client.take() if p[:2] == b"\x10\x0a"), None), 1))
            except LabError:
                continue
        raise LabError("no answer")


def test_who_has_a_token_and_no_key():
    """It may join, once; it gets no data across, keeps nobody busy, and learns nothing of the members by another's key."""
    with Lab(2) as lab:
        member = Member(lab[0])
        member.run([], interface="Introducer = yes\n")
        drops = member.daemon.drops
        token = invite(member, "172.20.104.0/24")
        invited = Invited(lab, member, token)
        with invited.client as client:
            client.connect()
            client.send(bytes.fromhex("4500001c00000000400100000a000001ac146502") + bytes(8))
            wait_for(lambda: drops("in-source") + drops("in-martian") + drops("in-malformed") == 1, 5)
            client.send(control(2))
            wait_for(lambda: drops("in-join") == 1, 5)
            assert b"has not shown" in invited.ask(proof=bytes(16))[38]
            # A wish is looked at ten times a second at the most.
            assert invited.ask(name="-")[37] == b"\0\1"
            client.take()
            begin = time.monotonic()
            for _ in range(40):
                client.send(invited.wish(name="-"))
                time.sleep(0.01)
            answers = sum(p[:2] == b"\x10\x0a" for p in client.take())
            assert 0 < answers < 10 * (time.monotonic() - begin) + 2
            assert len(member.daemon.show()["peers"]) == 1

            assert invited.ask()[37] == b"\0\0"
            refused = invited.ask(proof=bytes(16))
            assert refused[37] == b"\0\1" and b"has not shown" in refused[38] and 32 not in refused
            assert invited.ask()[37] == b"\0\0"
            # Another who has the token, and the newer session, gets no answer that is not its own.
            other = Invited(lab, member, token, port=12346)
            with other.client:
                other.client.connect()
                other.client.take()
                assert invited.ask()[37] == b"\0\0"
                assert b"used already" in other.ask()[38]
                assert invited.ask()[37] == b"\0\0"
                assert [p[:2] for p in other.client.take()].count(b"\x10\x0a") == 0
            invited.public = base64.b64decode(keypair()[1])
            assert b"used already" in invited.ask()[38]


def test_no_more_than_so_many_are_open():
    """What was revoked or used makes room first; the rest is refused."""
    with Lab(1) as lab:
        member = Member(lab[0])
        member.run([], interface="Introducer = yes\n")

        def ask(**request):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(member.daemon.socket))
                client.sendall(json.dumps(request).encode() + b"\n")
                return json.loads(client.makefile().readline())

        def one_more():
            return ask(do="invite", range=SUBNET, bits=24, endpoints=["a:1"], expires_s=600)

        replies = [one_more() for _ in range(64)]
        assert all(reply["ok"] for reply in replies) and len({reply["token"] for reply in replies}) == 64
        refused = one_more()
        assert not refused["ok"] and "64 invitations are open already" in refused["error"]
        member.daemon.ctl("peer", "remove", replies[7]["id"])
        assert one_more()["ok"] and not one_more()["ok"]
        restart(member)
        assert len(member.daemon.show()["peers"]) == 64 and not one_more()["ok"]


def test_what_is_kept_where(tmp_path):
    """Without a place for its journal nobody is invited, and what is introduced is forgotten."""
    with Lab(1) as lab:
        member = Member(lab[0])
        blocked = tmp_path / "file"
        blocked.write_text("")
        text = (f"[Interface]\nPrivateKey = {member.private}\nListenPort = 12345\nIntroducer = yes\n"
                f"[Network]\nBridge = ovl0\nRange = {member.prefix}.0/24\n")
        member.daemon = Daemon(lab[0], text, io="poll", options=["--state-dir", blocked])
        out = member.host.run([OVLCTL, "--socket", member.daemon.socket, "invite", "172.20.104.0/24", "--endpoint", "a"],
                              check=False)
        assert "an invitation has to be kept on the disk, and is not" in out
        assert "nobody can be invited" in member.daemon.log


def test_many_members_and_a_way_that_loses(tmp_path):
    """The answer has several pages; what is lost of it is asked for again."""
    with Lab(2) as lab:
        member = Member(lab[0])
        text = (f"[Interface]\nPrivateKey = {member.private}\nListenPort = 12345\nIntroducer = yes\n"
                f"[Network]\nBridge = ovl0\nRange = {member.prefix}.0/24\n")
        publics = [base64.b64encode(bytes([i + 1]) * 32).decode() for i in range(60)]
        for i, public in enumerate(publics):
            text += f"[Peer]\nName = other{i}\nPublicKey = {public}\nAllowedIPs = 172.20.{110 + i}.0/24\n"
        member.daemon = Daemon(lab[0], text, io="poll", start=False)
        member.daemon.options = ["--state-dir", member.daemon.folder / "state"]
        member.daemon.start()
        member.daemon.attached()
        folder = tmp_path / "quick"
        code, out = join(lab[1], folder, invite(member, "172.20.104.0/24"))
        assert code == 0 and (folder / "peers.conf").read_text().count("[Peer]") == 61, out
        assert member.daemon.drops("in-post") == 0  # no page was asked for too early
        member.daemon.ctl("peer", "remove", lab[1].name)
        lab[0].loss(20)
        code, out = join(lab[1], tmp_path, invite(member, "172.20.0.0/16", "--prefix", "24"))
        lab[0].loss(0)
        assert code == 0 and "172.20.0.0/24, and 61 hosts know" in out, out
        config = (tmp_path / "peers.conf").read_text()
        assert config.count("[Peer]") == 61 and all(public in config for public in publics)
        assert sum(member.daemon.counters()[name] for name in ("in-join", "in-control")) == 0


def test_behind_nat(tmp_path):
    """The host is told which address it was seen with, keeps that way open, and is reached there by all."""
    with Lab(3) as lab:
        members, new = members_of(lab), lab[2]
        new.run(["nft", "-f", "-"], input="table ip nat {\n chain out {\n type nat hook postrouting priority 100;\n"
                "udp sport 12345 snat to 10.10.10.103:23456\n }\n}\n")
        code, out = join(new, tmp_path, invite(members[0], "172.20.103.0/24"))
        assert code == 0 and f"at {new.underlay}:23456, which is none of its own addresses" in out, out
        assert (tmp_path / "peers.conf").read_text().count("PersistentKeepalive = 25") == 2
        joined = start_joined(new, tmp_path, out)
        assert_all_ping(members + [joined])


def test_a_bridged_network(tmp_path):
    """The new host gets the VNI; its range is for its containers' addresses alone."""
    with Lab(3) as lab:
        members = [Member(host, start=False) for host in lab.hosts[:2]]
        for member in members:
            member.prefix = f"172.20.{101 + member.host.index}"
            member.make_network()
        for member, other in (members, reversed(members)):
            mark = "Introducer = yes\n"
            text = (f"[Interface]\nPrivateKey = {member.private}\nListenPort = 12345\n{mark if member is members[0] else ''}"
                    "[Network]\nBridge = ovl0\nMode = bridged\nVNI = 7\n"
                    f"[Peer]\nName = {other.host.name}\nPublicKey = {other.public}\nEndpoint = {other.host.underlay}:12345\n"
                    f"VNIs = 7\n{'' if member is members[0] else mark}")
            member.daemon = Daemon(member.host, text, io="poll", start=False)
            member.daemon.options = ["--state-dir", member.daemon.folder / "state"]
            member.daemon.start()
            member.daemon.attached()
        code, out = join(lab[2], tmp_path, invite(members[0], "172.20.103.0/24"))
        assert code == 0, out
        config = (tmp_path / "peers.conf").read_text()
        assert config.count("VNIs = 7") == 2 and "VNI = 7\n" in config and "AllowedIPs" not in config
        line, = [line for line in out.splitlines() if line.startswith("docker network create")]
        assert line.endswith("ovl7") and "--ip-range 172.20.103.0/24" in line
        joined = Member(lab[2], start=False)
        joined.prefix = "172.20.103"
        joined.make_network()
        joined.daemon = Daemon(lab[2], "", io="poll", start=False)
        joined.daemon.config = tmp_path / "peers.conf"
        joined.daemon.options = ["--state-dir", joined.daemon.folder / "state"]
        joined.daemon.start()
        joined.daemon.attached()
        assert_all_ping(members + [joined])
        # Its range is taken from here on.
        out = members[0].host.run([OVLCTL, "--socket", members[0].daemon.socket, "invite", "172.20.103.0/25", "--endpoint",
                                   "a"], check=False)
        assert f"172.20.103.0/25 overlaps 172.20.103.0/24, which is host {lab[2].name}'s" in out
