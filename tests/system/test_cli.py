# SPDX-License-Identifier: MIT
"""ovlctl without a daemon: the key commands beside wg's own, `check`, and what a wrong command says."""
import base64
import os
import pathlib
import shutil
import subprocess

import pytest

OVLCTL = str(pathlib.Path(os.environ.get("OVLTUN_BUILD", "build")).resolve() / "ctl" / "ovlctl")
WG = shutil.which("wg")
PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="  # RFC 7748, 6.1
OTHER = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="

needs_wg = pytest.mark.skipif(not WG, reason="no wg (wireguard-tools)")


def run(*command, stdin=b"", **kwargs):
    kwargs.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(command, input=stdin, stderr=subprocess.PIPE, timeout=20, check=False, **kwargs)


def ovlctl(*arguments, **kwargs):
    return run(OVLCTL, *arguments, **kwargs)


def one_line(data):
    text = data.decode()
    assert text.endswith("\n") and text.count("\n") == 1, text
    return text[:-1]


# --- keys ---

@needs_wg
@pytest.mark.parametrize("command", ["genkey", "genpsk"])
def test_wg_takes_our_keys(command):
    keys = {one_line(ovlctl(command).stdout) for _ in range(8)}
    assert len(keys) == 8
    for key in keys:
        assert run(WG, "pubkey", stdin=key.encode()).stdout == ovlctl("pubkey", stdin=key.encode()).stdout


def test_private_keys_are_clamped():
    for _ in range(8):
        key = base64.b64decode(one_line(ovlctl("genkey").stdout), validate=True)
        assert len(key) == 32
        assert key[0] & 7 == 0 and key[31] & 0xc0 == 0x40


@needs_wg
@pytest.mark.parametrize("text", [
    PRIVATE.encode() + b"\n",
    PRIVATE.encode(),
    PRIVATE.encode() + b" \t\r\n\n\0\n",
    b"\n" + PRIVATE.encode(),
    b" " + PRIVATE.encode(),
    PRIVATE.encode() + b"x",
    PRIVATE.encode() + b"\n" + PRIVATE.encode(),
    PRIVATE.encode() + b" " * 1000 + b"x",
    PRIVATE[:-1].encode(),
    PRIVATE[:-1].encode() + b"\n",
    PRIVATE[:-2].encode() + b"p=",  # the last character has bits to spare
    PRIVATE[:-1].encode() + b"A",
    PRIVATE.replace("d", "-").encode(),
    b"A" * 43 + b"=",
    b"",
    b"\0" * 44,
    b"short",
    bytes(range(256)),
])
def test_pubkey_is_wgs(text):
    theirs, ours = run(WG, "pubkey", stdin=text), ovlctl("pubkey", stdin=text)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert bool(ours.stderr) == bool(theirs.stderr)
    assert PRIVATE[:20].encode() not in ours.stderr


def test_pubkey_known_answer():
    assert one_line(ovlctl("pubkey", stdin=PRIVATE.encode()).stdout) == PUBLIC


@needs_wg
@pytest.mark.parametrize("command", ["genkey", "genpsk", "pubkey"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o602, 0o601])
def test_warning_is_wgs(tmp_path, command, mode):
    def writes(tool):
        path = tmp_path / pathlib.Path(tool).name
        path.touch()
        path.chmod(mode)
        with path.open("wb") as out:
            result = run(tool, command, stdin=PRIVATE.encode(), stdout=out)
        assert result.returncode == 0
        assert len(path.read_bytes()) == 45
        return bool(result.stderr)
    assert writes(OVLCTL) == writes(WG)


@needs_wg
@pytest.mark.parametrize("command", ["genkey", "genpsk", "pubkey"])
def test_misuse_is_wgs(command):
    theirs, ours = run(WG, command, "x"), ovlctl(command, "x")
    assert ours.returncode == theirs.returncode
    assert one_line(theirs.stderr) == f"Usage: {WG} {command}"
    assert one_line(ours.stderr) == f"usage: ovlctl {command}"


@pytest.mark.parametrize("command", ["genkey", "genpsk", "pubkey", "help", "--version"])
def test_full_disk_is_an_error(command):
    with open("/dev/full", "wb") as full:
        result = ovlctl(command, stdin=PRIVATE.encode(), stdout=full)
    assert result.returncode == 1
    assert one_line(result.stderr) == "ovlctl: standard output: No space left on device"


# --- commands ---

def test_help_lists_every_command():
    result = ovlctl("help")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == ovlctl("--help").stdout
    names = [line.split()[0] for line in result.stdout.decode().splitlines() if line.startswith("  ")]
    assert {"check", "genkey", "genpsk", "pubkey"} <= set(names)
    assert names == sorted(names)
    for name in names:
        one = ovlctl("help", name)
        assert one.returncode == 0
        assert one.stdout.decode().startswith(f"usage: ovlctl {name}")
        assert one.stdout == ovlctl(name, "--help").stdout
    assert ovlctl("peer", "add", "--help").stdout == ovlctl("help", "peer").stdout


def test_no_command_is_misuse():
    result = ovlctl()
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr == ovlctl("help").stdout


FDB_USAGE = ("usage: ovlctl fdb list [NETWORK] [--json] | add NETWORK STATION PEER|local [--json] | "
             "del NETWORK STATION [--json]")
CHECK_USAGE = "usage: ovlctl check FILE [--bridge NAME] [--json]"


@pytest.mark.parametrize("arguments, message", [
    (["chekc"], 'ovlctl: unknown command "chekc"; did you mean "check"?'),
    (["gen-key"], 'ovlctl: unknown command "gen-key"; did you mean "genkey"?'),
    (["frobnicate"], 'ovlctl: unknown command "frobnicate"; see ovlctl help'),
    (["help", "chek"], 'ovlctl: unknown command "chek"; did you mean "check"?'),
    (["peer", "set", "a", "nme", "b"], 'ovlctl: unknown setting "nme"; did you mean "name"?'),
    (["peer", "set", "a", "frobnicate", "b"], 'ovlctl: unknown setting "frobnicate"; see ovlctl help peer'),
    (["check"], "ovlctl: check: FILE is missing; see ovlctl help check"),
    (["check", "a", "b"], CHECK_USAGE),
    (["check", "a", "--bridge"], "ovlctl: check: NAME is missing after --bridge; see ovlctl help check"),
    (["check", "--brdige", "a"], 'ovlctl: check: unknown option "--brdige"; did you mean "--bridge"?'),
    (["peer", "set", "a", "vni", "7"], 'ovlctl: unknown setting "vni"; did you mean "vnis"?'),
    (["fdb", "lsit"], 'ovlctl: fdb: unknown word "lsit"; did you mean "list"?'),
    (["fdb", "list", "a", "b"], FDB_USAGE),
    (["fdb", "list", "--jsno"], 'ovlctl: fdb: unknown option "--jsno"; did you mean "--json"?'),
    (["fdb", "add", "a", "02:00:00:00:00:01"], "ovlctl: fdb: PEER is missing; see ovlctl help fdb"),
    (["fdb", "del", "a"], "ovlctl: fdb: STATION is missing; see ovlctl help fdb"),
    (["show", "drps"], 'ovlctl: show: unknown word "drps"; did you mean "drops"?'),
    (["show", "drops", "--lst"], 'ovlctl: show: unknown option "--lst"; did you mean "--last"?'),
    (["peer", "ad", "key"], 'ovlctl: peer: unknown word "ad"; did you mean "add"?'),
    (["events", "-f", "now"], 'ovlctl: events: unknown word "now"; see ovlctl help events'),
    (["plan", "hosts.txt"], "ovlctl: plan: --subnet SUBNET is missing; see ovlctl help plan"),
    (["trace"], "ovlctl: trace: ADDRESS is missing; see ovlctl help trace"),
    (["trace", "a", "--size=20"], 'ovlctl: --size "20": expected 28 to 65535 bytes'),
    (["trace", "a", "--wait", "long"], 'ovlctl: --wait "long": expected 0.1 to 60 seconds'),
    (["top", "-d", "0"], 'ovlctl: -d "0": expected seconds, 0.1 to 3600'),
    (["top", "-n"], "ovlctl: top: LOOKS is missing after -n; see ovlctl help top"),
])
def test_misuse(arguments, message):
    result = ovlctl(*arguments)
    assert (result.returncode, result.stdout) == (2, b"")
    assert one_line(result.stderr) == message


def test_version():
    result = ovlctl("--version")
    assert result.returncode == 0
    assert one_line(result.stdout).split()[0] == "ovlctl"


# --- check ---

@pytest.fixture
def folder(tmp_path):
    (tmp_path / "private.key").write_text(PRIVATE + "\n")
    (tmp_path / "private.key").chmod(0o600)
    return tmp_path


def write(folder, text):
    path = folder / "peers.conf"
    path.write_text(text)
    return path


def test_check_sums_up(folder):
    path = write(folder, f"""
[Interface]
PrivateKeyFile = private.key
ListenPort = 12345
[Network]
Name = cargo
Bridge = ovl0
Subnet = 172.20.0.0/16, fd00:20::/64
Range = 172.20.101.0/24
MTU = 1400
[Peer]
PublicKey = {OTHER}
Endpoint = barge2.example:12345
AllowedIPs = 172.20.102.0/24
""")
    result = ovlctl("check", str(path))
    assert result.stderr == b""
    assert result.returncode == 0
    assert result.stdout.decode() == f"""{path}: valid
public key: {PUBLIC}
port: 12345
network cargo: bridge ovl0, subnet 172.20.0.0/16, fd00:20::/64, range 172.20.101.0/24, MTU 1400
peers: 1, with 1 prefix and 1 endpoint, 1 of them by name
"""


def test_check_sums_up_bridged_networks(folder):
    path = write(folder, f"""
[Interface]
PrivateKeyFile = private.key
[Network]
Bridge = ovl7
Mode = bridged
VNI = 7
Guard = strict
RouterAdverts = local, barge2
FDB = 02:00:00:00:00:05 barge2
[Network]
Name = cargo
Bridge = ovl42
Mode = bridged
VNI = 42
[Peer]
Name = barge2
PublicKey = {OTHER}
VNIs = 7
""")
    result = ovlctl("check", str(path))
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode() == f"""{path}: valid
public key: {PUBLIC}
port: any
network ovl7: bridge ovl7, bridged, VNI 7, 1 member, MTU auto
network cargo: bridge ovl42, bridged, VNI 42, 0 members, MTU auto
peers: 1, with 0 prefixes and 0 endpoints
"""


@pytest.mark.parametrize("old, new, line, message", [
    ("Mode = bridged", "Mode = bridgd", 5, 'Mode "bridgd": expected routed or bridged; did you mean "bridged"?'),
    ("VNI = 7", "VNI = 16777216", 6, 'VNI "16777216": expected 1 to 16777215'),
    ("VNI = 7\n", "\n", 3, 'the bridged network "ovl7" has no VNI; expected 1 to 16777215'),
    ("Mode = bridged", "Mode = routed", 6, 'VNI is a key of bridged networks, and "ovl7" is routed; expected Mode = bridged beside it'),
    ("VNIs = 7", "VNIs = 8", 10, 'VNIs "8": no bridged network has this VNI; expected those of 7'),
    ("VNI = 7\n", "VNI = 7\nSubnet = 10.0.0.0/8\n", 7,
     "Subnet is a key of routed networks: bridged ones carry frames, whatever the address"),
    ("VNI = 7\n", "VNI = 7\nDHCPServers = barge3\n", 7, 'DHCPServers: no peer "barge3"; did you mean "barge2"?'),
    ("[Peer]", "[Network]\nBridge = ovl8\nMode = bridged\nVNI = 7\n[Peer]", 10,
     'VNI "7" is used twice; first in network "ovl7" (line 6)'),
    ("[Peer]", "[Network]\nBridge = ovl7\nMode = bridged\nVNI = 8\n[Peer]", 8, 'Bridge "ovl7" is used twice; first (line 4)'),
])
def test_check_of_bad_bridged_networks(folder, old, new, line, message):
    good = f"[Interface]\nPrivateKeyFile = private.key\n[Network]\nBridge = ovl7\nMode = bridged\nVNI = 7\n" \
           f"[Peer]\nName = barge2\nPublicKey = {OTHER}\nVNIs = 7\n"
    assert ovlctl("check", str(write(folder, good))).returncode == 0
    path = write(folder, good.replace(old, new, 1))
    result = ovlctl("check", str(path))
    assert (result.returncode, result.stdout) == (2, b"")
    assert one_line(result.stderr) == f"{path}:{line}: {message}"


def test_check_names_file_and_line(folder):
    path = write(folder, "[Interface]\nPrivateKeyFile = private.key\nListenPrt = 1\n")
    result = ovlctl("check", str(path))
    assert (result.returncode, result.stdout) == (2, b"")
    assert one_line(result.stderr) == f'{path}:3: unknown key "ListenPrt"; did you mean "ListenPort"?'


def test_check_reads_wgs_files(folder):
    path = write(folder, f"[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.1/24\n")
    path.chmod(0o600)
    result = ovlctl("check", str(path), "--bridge", "ovl0")
    assert result.returncode == 0
    assert one_line(result.stderr) == f'warning: {path}:3: "Address" is wg-quick\'s, ignored'
    assert result.stdout == ovlctl("check", "--bridge=ovl0", str(path)).stdout
    assert ovlctl("check", str(path)).returncode == 2


def test_check_wants_keys_private(folder):
    path = write(folder, "[Interface]\nPrivateKeyFile = private.key\n[Network]\nBridge = ovl0\n")
    assert ovlctl("check", str(path)).returncode == 0
    (folder / "private.key").chmod(0o644)
    result = ovlctl("check", str(path))
    assert result.returncode == 2
    assert one_line(result.stderr).startswith(f'{path}:2: PrivateKeyFile "private.key": others')


def test_check_reads_a_pipe():
    """`ovlctl check <(…)`"""
    text = f"[Interface]\nPrivateKey = {PRIVATE}\n[Network]\nBridge = ovl0\n" + "# a line\n" * 20000
    for name in ("/dev/stdin", "-"):
        result = ovlctl("check", name, stdin=text.encode())
        assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"standard input: valid\n")
    result = ovlctl("check", "-", stdin=b"[Interface]\nPrivteKey = x\n")
    assert result.returncode == 2 and result.stderr.startswith(b'standard input:2: unknown key "PrivteKey"')


@pytest.mark.parametrize("arguments, message", [
    (["--chekc"], 'unknown option "--chekc"; did you mean "--check"?'),
    (["--state-dri=x"], 'unknown option "--state-dri=x"; did you mean "--state-dir"?'),
    (["-c", "a", "-x"], 'unknown option "-x"; see ovltund --help'),
    (["--quux"], 'unknown option "--quux"; see ovltund --help'),
    (["--io"], 'a value is missing after "--io"; see ovltund --help'),
    (["--check=1"], '"--check=1": that option takes no value; see ovltund --help'),
])
def test_the_daemon_says_what_was_typed_wrong(arguments, message):
    result = run(OVLCTL.replace("ovlctl", "ovltund"), *arguments)
    assert result.returncode == 2 and one_line(result.stderr) == f"ovltund: {message}"


def test_which_daemon_has_to_be_said_where_several_run():
    """The same for every command. In a /run of its own."""
    script = ("import os, socket, subprocess, sys\nos.mkdir('/run/ovltun')\nopen_ = []\n"
              "for name in 'ab':\n    s = socket.socket(socket.AF_UNIX)\n    s.bind(f'/run/ovltun/{name}.ctl')\n"
              "    s.listen(8)\n    open_.append(s)\nsys.exit(subprocess.run(sys.argv[1:]).returncode)\n")
    for command in (["show"], ["doctor"], ["reload"], ["events"], ["invite", "172.20.104.0/24"]):
        result = run("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh",
                     "/usr/bin/python3", "-c", script, OVLCTL, *command)
        assert (result.returncode, one_line(result.stderr)) == (
            2, "ovlctl: several daemons run (a, b); choose one by -i NAME"), command


@pytest.mark.parametrize("path, message", [
    ("/nowhere/peers.conf", "/nowhere/peers.conf: No such file or directory"),
    ("/", "/: Is a directory"),
    ("/dev/zero", "/dev/zero: File too large"),
])
def test_check_of_what_is_no_file(path, message):
    result = ovlctl("check", path)
    assert result.returncode == 2
    assert one_line(result.stderr) == message
