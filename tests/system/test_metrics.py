# SPDX-License-Identifier: MIT
"""Metrics over HTTP: what is served, to whom, and what clients cannot do to the daemon."""
import base64
import json
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from lab import Daemon, LabError, keypair, wait_for
from lab.net import netns_socket

TOP = pathlib.Path(__file__).resolve().parents[2]
PORT = 9587
METRICS = f"[Metrics]\nListen = 127.0.0.1:{PORT}\n"
SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\d+(?:\.\d+)?)')
# Of ctl/metrics.[hc]
CLIENTS_MAX = 8
CLIENT_S = 20
SILENCE_S = 5


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def tcp_in(host, address="127.0.0.1"):
    made = netns_socket(host.netns, socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


class Http:
    """One connection from within a host's namespace, written and read by hand."""

    def __init__(self, host, address="127.0.0.1", port=PORT, timeout=10):
        self.socket = tcp_in(host, address)
        self.socket.settimeout(timeout)
        self.socket.connect((address, port))

    def send(self, text):
        self.socket.sendall(text.encode())
        return self

    def read(self):
        data = b""
        while more := self.socket.recv(1 << 20):
            data += more
        self.socket.close()
        return data

    def ended(self):
        """The other side has ended it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def ask(self, method="GET", path="/metrics", version="1.1", more=""):
        """Status, headers by lower-case name, text."""
        self.send(f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n")
        head, _, body = self.read().partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = unchunk(body)
        return int(status.split()[1]), headers, body.decode()


def unchunk(data):
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            assert data == b"\r\n"
            return whole
        whole += data[:int(size, 16)]
        assert data[int(size, 16):][:2] == b"\r\n"
        data = data[int(size, 16) + 2:]


def parse(text):
    """Samples by (name, labels as a sorted tuple); the rules of the format are checked."""
    samples, metric, seen, kinds = {}, None, set(), {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            metric = line.split()[2]
            assert metric not in seen
            seen.add(metric)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == metric
            kinds[metric] = line.split()[3]
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name == metric and metric in kinds
            key = (name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))))
            assert key not in samples
            samples[key] = float(value)
    return samples, kinds


def value(samples, name, **labels):
    return samples[(name, tuple(sorted(labels.items())))]


def scrape(host, address="127.0.0.1", port=PORT):
    status, _, text = Http(host, address, port).ask()
    assert status == 200
    return parse(text)[0]


def reload(daemon, text):
    daemon.write(text)
    return daemon.ctl("reload", check=False)


@pytest.fixture
def served(overlay):
    """An overlay whose first host serves its metrics."""
    daemon, host = overlay.daemons[0], overlay.lab[0]
    print(reload(daemon, overlay.config(host) + METRICS))
    return overlay


def test_what_is_served(served):
    a, b = served.containers
    daemon, host, other = served.daemons[0], *served.lab.hosts
    assert a.ping(b.address)
    status, headers, text = Http(host).ask()
    assert status == 200 and headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples, _ = parse(text)
    shown = daemon.peer(other.name)
    assert value(samples, "ovltun_peer_session", peer=other.name) == 1
    assert value(samples, "ovltun_peer_info", peer=other.name, public_key=shown["public_key"]) == 1
    assert abs(value(samples, "ovltun_peer_latest_handshake_timestamp_seconds", peer=other.name) - time.time()) < 60
    assert 0 < value(samples, "ovltun_peer_receive_bytes_total", peer=other.name) <= shown["rx_bytes"]
    assert value(samples, "ovltun_network_attached", network="ovl0") == 1
    assert value(samples, "ovltun_network_transmit_packets_total", network="ovl0") >= 1
    # All reasons and events that `show drops` has.
    reply = json.loads(daemon.ctl("show", "drops", "--json"))
    assert {dict(k[1])["reason"] for k in samples if k[0] == "ovltun_drops_total"} == set(reply["drops"])
    assert {dict(k[1])["event"] for k in samples if k[0] == "ovltun_events_total"} == set(reply["events"])
    assert served.keys[0][0] not in text


def test_only_get_of_one_path(served):
    host = served.lab[0]
    for path in ("/", "/metrics/", "/metricsx", "/../metrics", "//metrics", "/" + "x" * 5000):
        assert Http(host).ask(path=path)[0] == 404, path
    assert Http(host).ask(path="/metrics?x=1")[0] == 200
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"):
        status, headers, _ = Http(host).ask(method)
        assert status == 405 and headers["allow"] == "GET", method
    assert Http(host).ask("POST", more="Content-Length: 1000000\r\n")[0] == 405
    # Without chunks, for clients of old.
    status, headers, text = Http(host).ask(version="1.0")
    assert status == 200 and "transfer-encoding" not in headers and parse(text)[0]


def test_not_without_the_section(overlay):
    with pytest.raises(ConnectionError):
        Http(overlay.lab[0])


def test_reload_opens_moves_and_closes(served):
    daemon, host = served.daemons[0], served.lab[0]
    plain = served.config(host)

    def refused(address="127.0.0.1", port=PORT):
        with pytest.raises(ConnectionError):
            Http(host, address, port)

    assert scrape(host)
    reload(daemon, plain + METRICS.replace("9587", "9588"))
    assert scrape(host, port=9588)
    refused()
    # Not loopback: allowed, and said in one line.
    before = daemon.log.count("not a loopback address")
    reload(daemon, plain + f"[Metrics]\nListen = {host.underlay}:9588\n")
    assert scrape(host, host.underlay, 9588)
    assert daemon.log.count("not a loopback address") == before + 1
    refused(port=9588)
    # Taken: all stays.
    with tcp_in(host) as taken:
        taken.bind(("127.0.0.1", PORT))
        taken.listen()
        said = reload(daemon, plain + METRICS + served.peer(served.lab[1]).replace(served.keys[1][1], keypair()[1])
                      .replace("Name", "#").replace("AllowedIPs", "#"))
        assert f"[Metrics] Listen = 127.0.0.1:{PORT}: Address already in use" in said
        assert len(daemon.show()["peers"]) == 1 and scrape(host, host.underlay, 9588)
    reload(daemon, plain)
    refused(host.underlay, 9588)


def test_a_start_with_a_taken_port_fails(overlay):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    daemon.stop()
    daemon.write(overlay.config(host) + METRICS)
    with tcp_in(host) as taken:
        taken.bind(("127.0.0.1", PORT))
        taken.listen()
        with pytest.raises(LabError):
            daemon.start()
    assert daemon.process.returncode == 1 and "Address already in use" in daemon.log


def drip_all(clients, stop):
    while not stop.wait(0.5):
        for client in clients:
            try:
                client.send("X")
            except OSError:
                pass


def test_clients_that_stall(served):
    """Half requests, no requests, nothing read: their places end, and all else goes on."""
    a, b = served.containers
    daemon, host = served.daemons[0], served.lab[0]
    assert a.ping(b.address)
    began = time.monotonic()
    stuck = [Http(host, timeout=40) for _ in range(2)]
    stuck += [Http(host, timeout=40).send("GET /metrics HTT") for _ in range(2)]
    stuck += [Http(host, timeout=40).send("POST / HTTP/1.1\r\nContent-Length: 100\r\n") for _ in range(4)]
    assert len(stuck) == CLIENTS_MAX
    # Control and data do not wait.
    for _ in range(5):
        asked = time.monotonic()
        daemon.show()
        assert time.monotonic() - asked < 2
    assert a.ping(b.address, count=5)
    for client in stuck:
        assert client.ended()
    assert SILENCE_S - 2 < time.monotonic() - began < SILENCE_S + 10
    # They take all places again, and are never silent for long: who waits does so for two seconds and a tick, not for twenty.
    drips = [Http(host, timeout=40).send("GET /metrics HTTP/1.1\r\n") for _ in range(CLIENTS_MAX)]
    stop = threading.Event()
    dripping = threading.Thread(target=drip_all, args=(drips, stop))
    dripping.start()
    began = time.monotonic()
    try:
        assert scrape(host)
    finally:
        stop.set()
        dripping.join()
    assert 1 < time.monotonic() - began < CLIENT_S / 2
    # More than there are places: refused or kept waiting, not more memory.
    more = [Http(host, timeout=40) for _ in range(20)]
    for client in more:
        client.socket.close()
    wait_for(lambda: scrape(host), 10)


@pytest.mark.long
def test_a_client_that_drips(served):
    """A byte now and then is no silence; the whole has its time."""
    host = served.lab[0]
    began = time.monotonic()
    drip = Http(host).send("GET /metrics HTTP/1.1\r\n")
    with pytest.raises(ConnectionError):
        while time.monotonic() - began < CLIENT_S + 15:
            drip.send("X")
            time.sleep(0.5)
    assert time.monotonic() - began > CLIENT_S - 2
    assert scrape(host)


def peers_of_nobody(count):
    """Any 32 bytes are a public key."""
    for i in range(count):
        key = base64.b64encode((i + 1).to_bytes(31, "big") + b"\x05").decode()
        yield f"[Peer]\nName = host-{i:05}\nPublicKey = {key}\nAllowedIPs = 10.{i >> 14}.{i >> 6 & 255}.{i * 4 & 255}/30\n"


def memory_kb(daemon):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text())[1])


@pytest.mark.long
def test_ten_thousand_peers(lab, io, record_property):
    host = lab[0]
    host.bridge("ovl0", address="10.0.0.1/8")
    text = f"[Interface]\nPrivateKey = {keypair()[0]}\nListenPort = 12345\n[Network]\nBridge = ovl0\nRange = 10.255.0.0/16\n"
    daemon = Daemon(host, text + METRICS + "".join(peers_of_nobody(10000)), io=io)
    before = memory_kb(daemon)
    began = time.monotonic()
    status, _, text = Http(host, timeout=30).ask()
    seconds = time.monotonic() - began
    after = memory_kb(daemon)
    samples, _ = parse(text)
    assert status == 200 and sum(1 for k in samples if k[0] == "ovltun_peer_info") == 10000
    # A client that reads none of it costs a piece, not the whole.
    stuck = [Http(host).send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(CLIENTS_MAX - 1)]
    wait_for(lambda: daemon.show(), 10)
    held = memory_kb(daemon)
    # The configuration changes under way: this answer ends early, and without the last chunk.
    daemon.ctl("peer", "remove", "host-00007")
    cut = stuck[0].read()
    assert not cut.endswith(b"0\r\n\r\n") and len(cut) < len(text)
    for client in stuck[1:]:
        client.socket.close()
    record_property("measured", f"{len(samples)} samples, {len(text) / 1e6:.1f} MB in {seconds:.2f} s; "
                                f"memory {before} kB before, {after} kB after, {held} kB with {CLIENTS_MAX - 1} that do not read")
    assert after - before < 4096 and held - before < 8192
    assert seconds < 10


# --- what is shipped ---

def names_in(text, kinds):
    names = set(re.findall(r"\bovltun_\w+", text))
    assert names
    return names - set(kinds)


def test_dashboard_and_rules_name_what_there_is(served):
    """A metric, a reason or an event that the daemon does not have shows nothing for ever."""
    samples, kinds = parse(Http(served.lab[0]).ask()[2])
    reasons = {dict(k[1]).get("reason") for k in samples}
    events = {dict(k[1]).get("event") for k in samples}
    # Those of bridged networks, without one.
    dashboard = (TOP / "packaging" / "grafana" / "ovltun.json").read_text()
    rules = (TOP / "packaging" / "prometheus" / "ovltun.rules.yml").read_text()
    for text in (dashboard, rules):
        assert names_in(text, kinds) == set()
        text = text.replace('\\"', '"')
        for wanted in re.findall(r'reason=~?"([^"$]+)"', text):
            for one in wanted.split("|"):
                assert any(re.fullmatch(one, r) for r in reasons if r), one
        for wanted in re.findall(r'event=~?"([^"$]+)"', text):
            assert set(wanted.split("|")) <= events
        # Only counters are for rate(); a gauge's fall is no restart.
        for name in re.findall(r"\b(?:rate|increase)\((ovltun_\w+)", text):
            assert kinds[name] == "counter", name
    panels = json.loads(dashboard)["panels"]
    assert len({p["id"] for p in panels}) == len(panels) > 8
    assert set(re.findall(r"(ovltun_\w+)", (TOP / "docs" / "metrics.md").read_text())) >= set(kinds)


def test_rules_by_promtool():
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool (Debian: prometheus)")
    folder = TOP / "packaging" / "prometheus"
    for command in (("check", "rules", "ovltun.rules.yml"), ("test", "rules", "ovltun.rules.test.yml")):
        done = subprocess.run([promtool, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        assert done.returncode == 0, done.stdout


def test_output_by_promtool(served):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool (Debian: prometheus)")
    text = Http(served.lab[0]).ask()[2]
    done = subprocess.run([promtool, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
