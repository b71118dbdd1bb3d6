# SPDX-License-Identifier: MIT
"""What an operator watches with: the flight recorder."""
import json

import pytest

from lab import wait_for
from test_hostile import MARK, ipv4, mac_bytes, router_mac, send_frames


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def last(daemon, reason):
    reply = json.loads(daemon.ctl("show", "drops", "--last", "--json"))
    return next((item for item in reply["last"] if item["reason"] == reason), None)


def test_the_last_drop_is_told_with_its_headers_alone(overlay):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    assert last(daemon, "out-source") is None
    packet = ipv4("192.0.2.77", b.address)
    frame = mac_bytes(router_mac(daemon)) + mac_bytes("02:42:ac:14:01:63") + b"\x08\x00" + packet
    send_frames(a, [frame])
    item = wait_for(lambda: last(daemon, "out-source"), 5)
    assert item["count"] == 1 and item["direction"] == "out"
    assert item["network"] == daemon.show()["networks"][0]["name"]
    assert item["length"] == len(frame) and item["age_s"] < 60
    header = item["header"]
    assert (header["source"], header["destination"]) == ("192.0.2.77", b.address)
    assert header["source_port"] == header["destination_port"] == 7 and header["protocol"] == 17
    assert header["source_mac"] == "02:42:ac:14:01:63"
    # Ethernet, IPv4 and UDP, and not a byte of what they carry.
    assert bytes.fromhex(header["bytes"]) == frame[:42] and MARK not in bytes.fromhex(header["bytes"])
    text = daemon.ctl("show", "drops", "--last")
    assert f"192.0.2.77:7 > {b.address}:7 UDP" in text and "out-source" in text


def test_what_a_stranger_sends_is_told_with_where_it_came_from(overlay):
    daemon, stranger = overlay.daemons[0], overlay.lab[1]
    port = daemon.show()["device"]["listen_port"]
    sender = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              f"s.sendto(bytes.fromhex('0400000001020304') + bytes(8) + b'KEY' * 8, ('{overlay.lab[0].underlay}', {port}))\n"
              "print(s.getsockname()[1])\n")
    source = stranger.run(["/usr/bin/python3", "-c", sender]).strip()
    item = wait_for(lambda: last(daemon, "rx-unknown-index"), 5)
    assert item["direction"] == "in" and item["from"] == f"{stranger.underlay}:{source}"
    assert item["header"]["receiver"] == 0x04030201
    assert bytes.fromhex(item["header"]["bytes"]) == bytes.fromhex("0400000001020304") + bytes(8)
