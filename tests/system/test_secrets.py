# SPDX-License-Identifier: MIT
"""What must not get out: plaintext, keys, and other people's addresses."""
import base64
import pathlib
import re
import signal

from conftest import Overlay, sharedkey
from lab import Daemon, WireguardGo, keypair, wait_for


def test_pitfall_33_nothing_leaves_before_there_are_keys(lab, io):
    """Without a session packets wait; all that is seen outside are initiations."""
    overlay = Overlay(lab, io, start=False)
    daemon = overlay.daemon(lab[0])
    daemon.attached()
    dump = lab[0].popen(["tcpdump", "-i", "eth0", "-n", "-l", "--immediate-mode", "-c", "2", "udp"])
    a, b = overlay.containers
    ping = a.popen(["ping", "-n", "-c", "5", "-i", "0.05", "-W", "20", b.address])
    out = wait_for(lambda: dump.poll() is not None and dump.stdout.read(), 15, "two initiations")
    assert re.findall(r"UDP, length (\d+)", out) == ["148", "148"]
    a.stop(ping, signal.SIGINT)
    assert " 0 received" in ping.stdout.read()


def test_pitfall_35_keys_stay_inside(lab, io):
    psk = sharedkey()
    overlay = Overlay(lab, io, start=False)
    overlay.psk = psk
    daemons = [overlay.daemon(host) for host in lab]
    for daemon in daemons:
        daemon.attached()
    assert overlay.containers[0].ping(overlay.containers[1].address)
    daemon = daemons[0]
    daemon.write(daemon.config.read_text() + "\nNonsense = 1\n")
    daemon.ctl("reload", check=False)
    said = daemon.log + daemon.ctl("show") + daemon.ctl("show", "--json") + daemon.ctl("show", "drops") + \
        daemon.ctl("check", str(daemon.config), check=False)
    for key in (overlay.keys[0][0], psk):
        raw = base64.b64decode(key)
        assert key not in said and raw.hex() not in said.lower() and key[:-2] not in said
    # No core file would hold them, and no swap.
    proc = pathlib.Path(f"/proc/{daemon.process.pid}")
    limit = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert limit.split()[4] == "0"
    flags = re.findall(r"VmFlags: (.*)", (proc / "smaps").read_text())
    assert any({"lo", "dd"} <= set(f.split()) for f in flags), "no locked memory that core files leave out"


def test_pitfall_30_the_source_is_the_address_not_its_subnet(lab, io):
    """A stock peer with one address of a subnet sends from the next one: dropped, and counted."""
    ours, theirs = keypair(), keypair()
    a, b = lab
    a.bridge("ovl0", address="172.20.101.1/16")
    container = a.container("c1", address="172.20.101.2/16", gateway="172.20.101.1")
    daemon = Daemon(a, f"[Interface]\nPrivateKey = {ours[0]}\nListenPort = 12345\n[Network]\nBridge = ovl0\n"
                    f"[Peer]\nName = stock\nPublicKey = {theirs[1]}\nAllowedIPs = 172.20.102.9/32\n", io=io)
    daemon.attached()
    WireguardGo(b, f"[Interface]\nPrivateKey = {theirs[0]}\n[Peer]\nPublicKey = {ours[1]}\n"
                f"Endpoint = {a.underlay}:12345\nAllowedIPs = 172.20.101.0/24\n", ["172.20.102.9/32", "172.20.102.8/32"])
    b.run("ip route add 172.20.101.0/24 dev wg0")
    assert b.ping(container.address, timeout=5, options=("-I", "172.20.102.9"))
    assert not b.ping(container.address, timeout=1, options=("-I", "172.20.102.8"))
    assert daemon.drops("in-source") == 1
    assert daemon.peer("stock")["drops"] == {"in-source": 1}
