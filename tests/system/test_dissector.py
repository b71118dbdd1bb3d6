# SPDX-License-Identifier: MIT
"""Wireshark, which this project did not write, believes our handshake and reads our packets."""
import shutil
import subprocess

import pytest

from lab.daemon import build_folder


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_verifies_and_decrypts(tmp_path):
    capture, keys = tmp_path / "two.pcap", tmp_path / "keys"
    subprocess.run([build_folder() / "tests" / "sim" / "sim_capture", capture, keys], check=True)
    fields = ("wg.type", "wg.handshake_ok", "wg.decryption_error", "wg.keepalive", "udp.dstport", "ip.src")
    argv = ["tshark", "-r", capture, "-d", "udp.port==51820,wg", "-o", f"wg.keylog_file:{keys}", "-T", "fields"]
    for field in fields:
        argv += ["-e", field]
    rows = [line.split("\t") for line in
            subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()]
    initiations = [r for r in rows if r[0] == "1"]
    responses = [r for r in rows if r[0] == "2"]
    data = [r for r in rows if r[0] == "4"]
    assert len(initiations) == 1 and len(responses) == 1 and len(data) >= 12
    assert responses[0][1] in ("1", "True")
    assert not any(r[2] for r in rows), "decryption errors"
    # Inside: the containers' packets, by their own addresses and port.
    inner = [r for r in data if "7777" in r[4].split(",")]
    assert len(inner) == 10
    assert {r[5].split(",")[-1] for r in inner} == {"172.20.101.2", "172.20.102.2"}
