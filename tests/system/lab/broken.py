# SPDX-License-Identifier: MIT
"""Ways to break a set-up, one function each, for the tests of what finds and explains them.

A Ward is two hosts with a routed and a bridged network between them. Each function of BROKEN
breaks one thing, yields while it is broken, and puts it right again, whether or not somebody
has mended it in between:

    for fault in BROKEN.values():
        with fault.on(ward):
            …
"""
import contextlib
import os
import shutil
import subprocess

from lab.daemon import Daemon, build_folder, keypair
from lab.net import wait_for

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *out)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int ret = real(clock, out);
	if (clock == CLOCK_REALTIME) out->tv_sec += SHIFT;
	return ret;
}
time_t time(time_t *out)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (out) *out = now.tv_sec;
	return now.tv_sec;
}
"""


def clock_shim(folder, seconds):
    """A library that shifts the clock of a program it is loaded into."""
    shim = folder / f"clock{seconds}.so"
    subprocess.run(["cc", f"-DSHIFT={seconds}", "-shared", "-fPIC", "-x", "c", "-", "-o", shim], input=CLOCK, text=True,
                   check=True)
    return [f"LD_PRELOAD={shim}", "ASAN_OPTIONS=verify_asan_link_order=0"]


class Ward:
    """@overlay: of two hosts, without daemons (conftest.Overlay). "here" is where one asks."""

    def __init__(self, overlay):
        self.overlay = overlay
        self.here, self.there = overlay.lab
        self.psk = ["", ""]
        for host in overlay.lab:
            host.bridge("ovl7")
        self.daemons = [Daemon(host, self.text(host), io="poll") for host in overlay.lab]
        self.daemon, self.other = self.daemons
        self.near, self.far = overlay.containers
        self.attached()
        self.talk()

    def text(self, host, network="", peer="VNIs = 7\n"):
        own = host.index
        other = self.there if host is self.here else self.here
        return (f"[Interface]\nPrivateKey = {self.overlay.keys[own][0]}\nListenPort = 12345\n"
                f"[Network]\nBridge = ovl0\nRange = 172.20.{101 + own}.0/24, fd20:{101 + own}::/64\n{network}"
                "[Network]\nBridge = ovl7\nMode = bridged\nVNI = 7\n" + self.overlay.peer(other, peer))

    def text_here(self, old, new):
        return self.text(self.here).replace(old, new)

    def attached(self):
        for daemon in self.daemons:
            for i in range(2):
                daemon.attached(i)

    def talk(self):
        """Until all is well."""
        wait_for(lambda: self.near.ping(self.far.address, timeout=1), what="a container to be reached")
        wait_for(lambda: all(d.show()["peers"][0]["hello"] for d in self.daemons), what="hellos")

    def call(self, container=None, address=None):
        """Has a packet go, whatever becomes of it."""
        (container or self.near).run(["ping", "-c", "1", "-W", "0.1", address or self.far.address], check=False)

    def type(self, command):
        """What an operator types here; ovlctl is where it is looked for."""
        path = f"PATH={build_folder() / 'ctl'}:{os.environ['PATH']}"
        return self.here.run(["env", path, "sh", "-c", command])

    @contextlib.contextmanager
    def reloaded(self, text):
        self.daemon.write(text)
        self.daemon.ctl("reload")
        try:
            yield
        finally:
            self.daemon.write(self.text(self.here))
            self.daemon.ctl("reload")
            self.talk()

    @contextlib.contextmanager
    def restarted(self, here=None, there=None):
        """Both anew, with other files: no session, no counter."""
        for daemon, changed in zip(self.daemons, (here, there)):
            daemon.stop()
            daemon.write(changed or self.text(daemon.host))
        # Who can be called only comes first: a call that nobody hears is repeated seconds later.
        for daemon in sorted(self.daemons, key=lambda daemon: "Endpoint" in daemon.config.read_text()):
            daemon.start()
        self.attached()
        try:
            yield
        finally:
            # First both are stopped, so that none talks to what the other was; and who pings comes last.
            for daemon in self.daemons:
                daemon.stop()
            for daemon in reversed(self.daemons):
                daemon.write(self.text(daemon.host))
                daemon.start()
            self.attached()
            self.talk()

    @contextlib.contextmanager
    def stopped(self):
        self.daemon.stop()
        try:
            yield
        finally:
            self.daemon.stop()
            self.daemon.start()
            self.attached()
            self.talk()

    @contextlib.contextmanager
    def nft(self, host, family, hook, rule, policy="accept"):
        host.run(["nft", "-f", "-"], input=f"table {family} doc {{ chain c {{ type filter hook {hook} priority 0; "
                 f"policy {policy}; {rule}\n }}\n }}\n")
        try:
            yield
        finally:
            host.run(f"nft delete table {family} doc")

    @contextlib.contextmanager
    def iptables(self, *commands, bridged=False):
        """@bridged: and frames go through these rules."""
        old = self.here.run(["cat", "/proc/sys/net/bridge/bridge-nf-call-iptables"], check=False).strip()
        if bridged:
            self.here.sysctl("net.bridge.bridge-nf-call-iptables", 1)
        for command in commands:
            self.here.run(f"iptables {command}")
        try:
            yield
        finally:
            # All at once: what made the tables was this alone.
            self.here.run("nft flush ruleset")
            if bridged:
                self.here.sysctl("net.bridge.bridge-nf-call-iptables", old)

    @contextlib.contextmanager
    def ip(self, command, undo):
        """@undo may find that it was done."""
        self.here.run(f"ip {command}")
        try:
            yield
        finally:
            self.here.run(f"ip {undo}", check=False)

    @contextlib.contextmanager
    def container(self, name, number):
        container = self.overlay.container(self.here, name, number)
        try:
            yield
        finally:
            # A namespace goes later than it is told to, and its container would answer until then.
            self.here.run(f"ip link del {container.port}")
            container.close()
            self.talk()

    @contextlib.contextmanager
    def pinging(self, container, address):
        process = container.popen(["ping", "-i", "0.05", address], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            container.stop(process)


class Traced:
    """What trace has to say: verdict, the step where it stops, and words of the first cause."""

    def __init__(self, verdict, step, words, argv):
        self.verdict, self.step, self.words = verdict, step, words
        self.argv = argv or (FAR,)
        # Where a peer says nothing there is nothing to wait for.
        self.wait = 0.6 if step in ("session", "arrived") else 4


FAR = "172.20.102.2"  # ward.far, asked for from ward.near
FROM_HOST = (FAR, "--from", "172.20.101.1")  # by what this host sends itself
SWITCHED = ("10.7.2.1", "--network", "ovl7")


def stops(step, words, *argv):
    return Traced("stops", step, words, argv)


def reaches(words=None, *argv):
    """It keeps no packet from its way; @words: and is seen all the same."""
    return Traced("reaches", None, words, argv)


def silent(words):
    """There is no daemon to ask."""
    return Traced(None, None, words, ())


class Broken:
    def __init__(self, function, check, words, trace, mends, severity, needs):
        self.name = function.__name__
        self.on = contextlib.contextmanager(function)
        self.check, self.words = check, words  # doctor's, of its first finding
        self.trace = trace
        self.severity = severity
        self.mends = mends  # doctor's command heals it
        self.needs = needs  # programs

    def lacks(self):
        return next((name for name in self.needs if not shutil.which(name)), None)


BROKEN = {}


def broken(check, words, trace, mends=False, severity="error", needs=()):
    """@check, @words: what doctor has to find first. @trace: what trace has to say."""
    def register(function):
        BROKEN[function.__name__] = Broken(function, check, words, trace, mends, severity, needs)
        return function
    return register


# --- this host: keys, file, port, daemon ---

@broken("keys", "others than its owner can use it", reaches(), mends=True)
def key_that_others_can_read(ward):
    ward.daemon.config.chmod(0o644)
    try:
        yield
    finally:
        ward.daemon.config.chmod(0o600)


@broken("configuration", 'did you mean "AllowedIPs"', reaches())
def misspelt_key(ward):
    ward.daemon.write(ward.text_here("AllowedIPs", "AllowedIP"))
    try:
        yield
    finally:
        ward.daemon.write(ward.text(ward.here))


@broken("daemon", "no ovltund listens", silent("no ovltund listens"))
def daemon_stopped(ward):
    with ward.stopped():
        yield


@broken("port", "UDP port 12345 is taken", silent("no ovltund listens"))
def port_taken(ward):
    with ward.stopped():
        thief = ward.here.popen(["/usr/bin/python3", "-c", "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); "
                                 "s.bind(('', 12345)); print(flush=True); time.sleep(60)"])
        thief.stdout.readline()
        try:
            yield
        finally:
            ward.here.stop(thief)


# --- links, routes, addresses ---

@broken("bridges", "there is no bridge ovl7",
        stops("bridge", "there is no bridge ovl7", *SWITCHED), mends=True)
def bridge_deleted(ward):
    ward.here.run("ip link del ovl7")
    try:
        yield
    finally:
        ward.here.run("ip link del ovl7", check=False)
        ward.here.bridge("ovl7")
        ward.attached()


@broken("bridges", "the bridge ovl0 is down",
        stops("container", "the bridge ovl0 is down"), mends=True)
def bridge_down(ward):
    with ward.ip("link set ovl0 down", "link set ovl0 up"):
        try:
            yield
        finally:
            # It forgets these when it goes down.
            ward.here.run("ip link set ovl0 up")
            ward.here.run("ip addr replace fd20:101::1/16 dev ovl0 nodad")


@broken("mtu", "the port", stops("container", "MTU: the port"), mends=True)
def port_of_smaller_mtu(ward):
    """What is for its container and longer is lost."""
    ward.here.run("ip link add usual type veth peer name usual-c")
    ward.here.run("ip link set usual master ovl0 up")
    ward.here.run(f"ip link set {ward.near.port} mtu 1300")
    try:
        yield
    finally:
        ward.here.run("ip link del usual")
        ward.here.run(f"ip link set {ward.near.port} mtu 1500")


@broken("mtu", "the bridge ovl0 has one of 1400", reaches(), mends=True, severity="warning")
def bridge_of_smaller_mtu(ward):
    with ward.ip("link set ovl0 mtu 1400", "link set ovl0 mtu 1500"):
        yield


@broken("overlaps", "172.20.96.0/20 of br-0123456789ab",
        stops("container", "172.20.96.0/20 of br-0123456789ab", *FROM_HOST))
def overlapping_docker_range(ward):
    ward.here.run("ip link add br-0123456789ab type bridge")
    ward.here.run("ip addr add 172.20.96.1/20 dev br-0123456789ab")
    ward.here.run("ip link set br-0123456789ab up")
    try:
        yield
    finally:
        ward.here.run("ip link del br-0123456789ab")


@broken("overlaps", "172.20.102.0/24 of eth0",
        stops("container", "172.20.102.0/24 of eth0", *FROM_HOST), mends=True)
def overlapping_route(ward):
    with ward.ip("route add 172.20.102.0/24 via 10.10.10.1", "route del 172.20.102.0/24"):
        yield


@broken("overlaps", "172.20.102.0/24 of a route that refuses",
        stops("container", "172.20.102.0/24 of a route that refuses", *FROM_HOST), mends=True)
def blackhole(ward):
    with ward.ip("route add blackhole 172.20.102.0/24", "route del 172.20.102.0/24"):
        yield


@broken("allowed-ips", "missing route",
        stops("container", "missing route", *FROM_HOST), mends=True, severity="warning")
def missing_route(ward):
    with ward.ip("route del 172.20.0.0/16 dev ovl0", "route del 172.20.102.0/24 dev ovl0"):
        try:
            yield
        finally:
            ward.here.run("ip route replace 172.20.0.0/16 dev ovl0 src 172.20.101.1")


@broken("addresses", "172.20.102.1, which belongs to peer barge2",
        stops("route", "172.20.102.1, which belongs to peer barge2", "172.20.102.1"), mends=True)
def duplicate_gateway(ward):
    with ward.ip("addr add 172.20.102.1/16 dev ovl0", "addr del 172.20.102.1/16 dev ovl0"):
        yield


@broken("addresses", "two containers here have 172.20.101.2",
        reaches("two containers here have 172.20.101.2"))
def duplicate_address(ward):
    with ward.container("double", 2):
        yield


@broken("addresses", "a container here has 172.20.101.1, which is the address of the bridge ovl0",
        reaches("a container here has 172.20.101.1", *FROM_HOST))
def gateway_taken(ward):
    """A container with the gateway's address."""
    with ward.container("taker", 1):
        yield


# --- packet filter ---

@broken("forward", "policy drop",
        stops("container", "policy drop"), mends=True, needs=["iptables", "nft"])
def forward_policy(ward):
    with ward.iptables("-P FORWARD DROP", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                       "-A FORWARD -i ovl7 -o ovl7 -j ACCEPT", bridged=True):
        yield


@broken("forward", "table ip filter: policy drop",
        stops("container", "table ip filter: policy drop"), mends=True, needs=["iptables-legacy"])
def older_iptables(ward):
    """Of the kind that nft does not show."""
    ward.here.sysctl("net.bridge.bridge-nf-call-iptables", 1)
    ward.here.run("iptables-legacy -P FORWARD DROP")
    ward.here.run("iptables-legacy -A FORWARD -i ovl7 -o ovl7 -j ACCEPT")
    try:
        yield
    finally:
        ward.here.run("iptables-legacy -F FORWARD")
        ward.here.run("iptables-legacy -P FORWARD ACCEPT")


@broken("forward", "-i ovl0 -o ovl0 -j DROP",
        stops("container", "-i ovl0 -o ovl0 -j DROP"), mends=True, needs=["iptables", "nft"])
def docker_without_icc(ward):
    """The rules that Docker makes for a network with enable_icc=false."""
    with ward.iptables("-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN",
                       "-A FORWARD -o ovl0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                       "-A FORWARD -i ovl0 ! -o ovl0 -j ACCEPT", "-A FORWARD -i ovl0 -o ovl0 -j DROP", bridged=True):
        yield


@broken("forward", "table ip raw",
        stops("container", "table ip raw"), mends=True, needs=["iptables", "nft"])
def raw_table(ward):
    with ward.iptables("-t raw -A PREROUTING -s 172.20.102.0/24 -j DROP", bridged=True):
        yield


@broken("forward", "table bridge doc",
        stops("container", "table bridge doc"), mends=True, needs=["nft"])
def frames_dropped(ward):
    with ward.nft(ward.here, "bridge", "forward", "ip daddr 172.20.102.0/24 drop"):
        yield


@broken("nat", "MASQUERADE", stops("container", "MASQUERADE"), mends=True, needs=["iptables", "nft"])
def masquerade(ward):
    with ward.iptables("-t nat -A POSTROUTING -s 172.20.0.0/16 -j MASQUERADE", bridged=True):
        yield


@broken("firewall", "incoming datagrams, port 12345", reaches(), mends=True, needs=["nft"])
def udp_in_blocked(ward):
    with ward.nft(ward.here, "inet", "input", "ct state vmap { established : accept, related : accept, invalid : drop }\n"
                  "iifname lo accept\nmeta l4proto { icmp, icmpv6 } accept\ntcp dport 22 accept", policy="drop"):
        yield


@broken("firewall", "outgoing datagrams, port 12345",
        stops("arrived", "outgoing datagrams, port 12345"), mends=True, needs=["nft"])
def udp_out_blocked(ward):
    with ward.nft(ward.here, "inet", "output", "udp dport { 53, 12345 } drop"):
        yield


@broken("firewall", "chain WALL of table ip filter: -p udp",
        stops("arrived", "chain WALL of table ip filter: -p udp"), mends=True, needs=["iptables", "nft"])
def udp_blocked_by_iptables(ward):
    with ward.iptables("-N WALL", "-A WALL -p udp --dport 12000:12999 -j REJECT", "-A INPUT -j WALL"):
        yield


# --- peers ---

@broken("endpoints", "no-such-host.invalid", reaches())
def name_does_not_resolve(ward):
    with ward.reloaded(ward.text_here(ward.overlay.endpoint(ward.there), "no-such-host.invalid:12345")):
        yield


@broken("endpoints", "no route to the endpoint of peer barge2",
        stops("session", "no route to the endpoint of peer barge2"))
def no_route_to_endpoint(ward):
    with ward.restarted(ward.text_here(ward.overlay.endpoint(ward.there), "192.0.2.9:12345"), mute(ward, ward.there)):
        yield


@broken("endpoints", "is network ovl0 itself", stops("session", "is network ovl0 itself"))
def endpoint_in_the_overlay(ward):
    with ward.restarted(ward.text_here(ward.overlay.endpoint(ward.there), "172.20.102.9:12345"), mute(ward, ward.there)):
        yield


def mute(ward, host):
    """A host's file when it does not know where the other one is."""
    other = ward.there if host is ward.here else ward.here
    return ward.text(host).replace(f"Endpoint = {ward.overlay.endpoint(other)}\n", "")


@broken("handshakes", "nobody listens at the endpoint of peer barge2", stops("session", "nobody listens"))
def wrong_port(ward):
    text = ward.text_here(ward.overlay.endpoint(ward.there), f"{ward.there.underlay}:12346")
    with ward.restarted(text, mute(ward, ward.there)):
        ward.call()
        yield


@broken("handshakes", "blocked UDP",
        stops("session", "blocked UDP: peer barge2 was called"), needs=["nft"])
def udp_blocked_elsewhere(ward):
    wall = contextlib.ExitStack()  # up before there are daemons, and down before there are healthy ones
    wall.enter_context(ward.nft(ward.there, "inet", "input", "udp dport 12345 drop"))
    with wall, ward.restarted(None, mute(ward, ward.there)):
        ward.call()
        wait_for(lambda: (ward.daemon.show()["peers"][0]["unanswered_s"] or 0) >= 1, what="a handshake to be tried")
        try:
            yield
        finally:
            wall.close()


@broken("handshakes", "no peer's here", stops("session", "no peer's here"))
def wrong_key_here(ward):
    with ward.restarted(ward.text_here(ward.overlay.keys[1][1], keypair()[1])):
        ward.call()
        ward.call(ward.far, ward.near.address)
        wait_for(lambda: ward.daemon.drops("handshake-invalid"), what="a handshake of an unknown key")
        yield


@broken("handshakes", "which calls this host by another public key",
        stops("session", "which calls this host by another public key"))
def wrong_key_there(ward):
    with ward.restarted(None, ward.text(ward.there).replace(ward.overlay.keys[0][1], keypair()[1])):
        ward.call()
        ward.call(ward.far, ward.near.address)
        wait_for(lambda: ward.daemon.drops("handshake-mac1"), what="a handshake for another key")
        yield


@broken("handshakes", "another PresharedKey", stops("session", "another PresharedKey"))
def wrong_preshared_key(ward):
    line = f"PublicKey = {ward.overlay.keys[1][1]}\n"
    with ward.restarted(ward.text_here(line, f"{line}PresharedKey = {keypair()[0]}\n"), mute(ward, ward.there)):
        ward.call()
        wait_for(lambda: ward.daemon.drops("handshake-invalid"), what="an answer that does not decrypt")
        yield


@broken("clock", "older than its last one",
        stops("arrived", "older than its last one"), mends=True, needs=["cc"])
def clock_went_back(ward):
    """The other host's, by an hour, and its daemon was started again."""
    popen = ward.there.popen
    with ward.restarted(mute(ward, ward.here)):
        wait_for(lambda: ward.far.ping(ward.near.address, timeout=1), what="the other host to begin a session")
        ward.daemon.write(ward.text(ward.here))  # for the next reload
        ward.other.stop()
        shim = clock_shim(ward.other.folder, -3600)
        ward.there.popen = lambda argv, **kwargs: popen(["env", *shim, *argv], **kwargs)
        try:
            ward.other.start()
            ward.attached()
        finally:
            del ward.there.popen
        ward.call(ward.far, ward.near.address)
        wait_for(lambda: ward.daemon.drops("handshake-stale"), what="a handshake that is too old")
        yield


@broken("members", "barge2 carries VNI 7",
        stops("station", "barge2 carries VNI 7", *SWITCHED), mends=True)
def peer_without_vni(ward):
    ward.daemon.ctl("peer", "set", "barge2", "vnis", "")
    try:
        yield
    finally:
        ward.daemon.ctl("reload")


@broken("members", "barge2 does not grant VNI 7",
        stops("hello", "barge2 does not grant VNI 7", *SWITCHED))
def vni_not_granted(ward):
    ward.other.ctl("peer", "set", "barge1", "vnis", "")
    wait_for(lambda: ward.daemon.show()["peers"][0]["hello"]["vnis"] == [], what="the other host's hello")
    try:
        yield
    finally:
        ward.other.ctl("reload")
        wait_for(lambda: ward.daemon.show()["peers"][0]["hello"]["vnis"] == [7], what="the other host's hello")


# --- what only counters tell; these rise, and doctor takes a second to see that they do ---

@broken("drops", "missing AllowedIPs: containers send", stops("route", "in no peer's AllowedIPs"))
def missing_allowed_ips(ward):
    ward.daemon.ctl("peer", "set", "barge2", "allowed-ips", "172.20.103.0/24")
    try:
        with ward.pinging(ward.near, ward.far.address):
            wait_for(lambda: ward.daemon.drops("out-no-route"), what="a packet without a route")
            yield
    finally:
        ward.daemon.ctl("reload")


@broken("drops", "missing AllowedIPs: a peer sends",
        stops("route", "in no peer's AllowedIPs"), mends=True)
def missing_allowed_ips_of_sender(ward):
    ward.daemon.ctl("peer", "set", "barge2", "allowed-ips", "172.20.103.0/24")
    try:
        with ward.pinging(ward.far, ward.near.address):
            wait_for(lambda: ward.daemon.drops("in-source"), what="a packet of a wrong source")
            yield
    finally:
        ward.daemon.ctl("reload")


@broken("drops", "containers send from addresses outside of Range",
        stops("source", "172.20.102.77", FAR, "--from", "172.20.102.77"))
def address_of_another_host(ward):
    """A container here with an address of the other host's Range."""
    ward.near.run("ip addr add 172.20.102.77/16 dev eth0")
    process = ward.near.popen(["ping", "-i", "0.05", "-I", "172.20.102.77", ward.far.address], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: ward.daemon.drops("out-source"), what="a packet of a wrong source")
        yield
    finally:
        ward.near.stop(process)
        ward.near.run("ip addr del 172.20.102.77/16 dev eth0")
