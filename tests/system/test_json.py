# SPDX-License-Identifier: MIT
"""What ovlctl prints with --json, against the schema in docs/."""
import copy
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lab import Lab, keypair, wait_for
from lab.daemon import build_folder
from test_join import Member
from test_watch import ovlctl, spoof, stranger_sends

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
COMMANDS = {"invite-list": ("invite", "list"), "show": ("show",), "drops": ("show", "drops"), "drops-last": ("show", "drops", "--last"),
            "neigh": ("show", "neigh"), "fdb": ("fdb", "list"), "routes": ("route", "list"),
            "route": ("route", "get", "172.20.102.2"), "events": ("events",), "doctor": ("doctor",),
            "trace": ("trace", "172.20.102.2")}
# What else the schema tells of: printed by a test of its own, or by several.
OTHERS = {"check", "done", "error", "event", "invite", "join", "plan", "reload", "sync", "top"}
OVLCTL = build_folder().resolve() / "ctl" / "ovlctl"
# These print a key as wg does, or pcapng.
WITHOUT = {"capture", "genkey", "genpsk", "pubkey"}
# A whole command of each kind that asks a daemon, or needs no more than itself to fail.
ASKING = ["events", "events --follow", "fdb list", "fdb add ovl7 02:00:00:00:00:01 local", "fdb del ovl7 02:00:00:00:00:01",
          "invite 172.20.104.0/24", "invite list", f"peer add {'A' * 42}E=", "peer set someone keepalive 25", "peer remove someone",
          "reload", "route list", "route get 172.20.102.2", "route add 172.20.102.0/24 someone", "route del 172.20.102.0/24", "show",
          "show drops", "show drops --last", "show neigh", "top", "trace 172.20.102.2"]
BRIDGED = "[Network]\nName = seven\nBridge = ovl7\nMode = bridged\nVNI = 7\n"


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


@functools.lru_cache(None)
def validator(name):
    jsonschema = pytest.importorskip("jsonschema", reason="no python3-jsonschema")
    schema = json.loads((DOCS / "ovlctl.schema.json").read_text())
    assert set(schema["definitions"]) == {*COMMANDS, *OTHERS}
    whole = {**schema, "$ref": f"#/definitions/{name}"}
    jsonschema.Draft7Validator.check_schema(whole["definitions"][name])
    return jsonschema.Draft7Validator(whole)


def faults(name, value):
    return [f"{list(e.absolute_path)}: {e.message}" for e in validator(name).iter_errors(value)]


def good(name, text):
    """What was printed, once it is as the schema has definition @name, and nothing else is."""
    value = json.loads(text)
    assert faults(name, value) == [], value
    assert faults(name, {**value, "surprise": 1}) and faults(name, {key: value[key] for key in value if key != "version"})
    return value


def failed(status, *argv, host=None, cwd=None):
    """The object of a command that fails: the line on standard error taken apart."""
    argv = [str(word) for word in argv]
    done = subprocess.run(host.argv(argv) if host else argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          timeout=20, check=False)
    assert done.returncode == status, done
    value = good("error", done.stdout)
    assert value["exit"] == status and done.stderr.removeprefix("ovlctl: ") == value["error"] + "\n"
    return value


def last_drops(daemon):
    return json.loads(daemon.ctl("show", "drops", "--last", "--json"))["last"]


def test_output_is_as_documented(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    bridged = BRIDGED + "FDB = 02:00:00:00:00:01 local\n"
    nobody = f"[Peer]\nPublicKey = {'A' * 42}E=\n"
    daemon.write(overlay.config(host) + bridged + nobody)
    print(daemon.ctl("reload"))
    wait_for(lambda: a.ping(b.address, timeout=1), 15)
    # Something for the flight recorder, from either side.
    spoof(a, daemon, 3)
    stranger_sends(overlay.lab[1], host, daemon)
    wait_for(lambda: {"out-source", "rx-unknown-index"} <= {i["reason"] for i in last_drops(daemon)}, 5)
    for name, command in COMMANDS.items():
        # A bridge is missing: doctor's exit status says that it found something.
        value = json.loads(daemon.ctl(*command, "--json", check=name != "doctor"))
        assert value and faults(name, value) == [], name
        if isinstance(value, dict):
            assert value["version"] == 1
            # The schema sees a field that nobody wrote about, and one that is gone.
            assert faults(name, {**value, "surprise": 1})
            less = copy.deepcopy(value)
            del less["version"]
            assert faults(name, less)
    shown = daemon.show()
    assert len(shown["networks"]) == 2 and len(shown["peers"]) == 2
    kinds = {item["header"]["kind"] for item in last_drops(daemon) if item["header"]}
    assert {"frame", "datagram"} <= kinds
    follower = host.popen(ovlctl(daemon, "events", "--follow", "--json"))
    for _ in json.loads(daemon.ctl("events", "--json"))["events"]:
        event = json.loads(follower.stdout.readline())
        assert faults("event", event) == [] and faults("event", {**event, "kind": "surprise"})
    host.stop(follower)


def test_sync(overlay):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    wanted = daemon.folder / "wanted.conf"
    wanted.touch(0o600)
    others = f"[Peer]\nPublicKey = {'A' * 42}E=\n[Network]\nBridge = ovl1\nRange = 172.21.0.0/24\n"
    wanted.write_text(overlay.config(host).replace("12345", "12346").replace("[Interface]\n", "[Interface]\nWorkers = 2\n") + others)
    for options in (("--dry-run",), ()):
        value = json.loads(daemon.ctl("sync", wanted, "--json", *options, check=not options))
        assert faults("sync", value) == [] and len(value["differences"]) == 4, value
        assert faults("sync", {**value, "surprise": 1}) and value["own_file"] == str(daemon.config) and value["workers_next"] == 2


def test_what_changes_the_daemon(overlay):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    daemon.write(overlay.config(host) + BRIDGED)
    value = good("reload", daemon.ctl("reload", "--json"))
    assert value["networks_added"] == 1 and value["dropped"] == []
    key = keypair()[1]
    for command in (f"peer add {key} name third", "peer set third keepalive 25", "route add 172.20.103.0/24 third",
                    "route del 172.20.103.0/24", "fdb add seven 02:00:00:00:00:01 local", "fdb del seven 02:00:00:00:00:01"):
        assert good("done", daemon.ctl(*command.split(), "--json")) == {"ok": True, "version": 1}
    assert daemon.peer("third")["keepalive"] == 25
    value = failed(2, *ovlctl(daemon, "peer", "set", "thrid", "keepalive", "1", "--json"), host=host)
    assert (value["what"], value["nearest"]) == ('no peer "thrid"', "third")
    # What waits for the next start is told, what was wrong with the file is, too.
    daemon.config.write_text(overlay.config(host).replace("[Interface]\n", "[Interface]\nWorkers = 3\n"))
    value = good("reload", daemon.ctl("reload", "--json"))
    assert value["dropped_count"] == len(value["dropped"]) == 1 and "third" in value["dropped"][0] and value["workers_next"] == 3
    daemon.config.write_text(overlay.config(host).replace("ListenPort", "ListenPrt"))
    for command in (("reload",), ("sync", daemon.config)):
        value = failed(2, *ovlctl(daemon, *command, "--json"), host=host)
        assert (value["file"], value["line"], value["nearest"]) == (str(daemon.config), 3, "ListenPort")
        assert value["what"] == 'unknown key "ListenPrt"' and value["error"].startswith(f"{daemon.config}:3: ")


def test_lines_until_the_daemon_ends(overlay):
    """events --follow and top: an object a line, the last one tells why there are no more."""
    daemon, host = overlay.daemons[0], overlay.lab[0]
    a, b = overlay.containers
    daemon.ctl("peer", "add", keypair()[1], "name", "alpha")
    assert a.ping(b.address, timeout=5)
    pings = a.popen(["ping", "-n", "-q", "-i", "0.01", "-s", "1000", b.address])
    try:
        lines = daemon.ctl("top", "--json", "-n", "2", "-d", "0.5").splitlines()
    finally:
        a.stop(pings)
    assert len(lines) == 2
    for line in lines:
        value = good("top", line)
        busy, idle = value["peers"]
        assert value["device"]["name"] == "peers" and 0.5 <= value["interval_s"] < 10
        assert (busy["public_key"], idle["name"]) == (overlay.keys[1][1], "alpha")
        assert busy["latest_handshake_age_s"] < 20 and idle["latest_handshake_age_s"] is None
        assert busy["loss"] is not None and (idle["loss"], idle["tx_byte_rate"]) == (None, 0)
        for way in ("rx", "tx"):
            assert 300 < busy[f"{way}_byte_rate"] / busy[f"{way}_packet_rate"] < 1250  # probes are shorter
    processes = [host.popen(ovlctl(daemon, *command, "--json"), stderr=subprocess.DEVNULL)
                 for command in (("events", "--follow"), ("top", "-d", "0.1"))]
    said = [process.stdout.readline() for process in processes]
    assert daemon.stop() == 0
    for name, first, process in zip(("event", "top"), said, processes):
        *lines, end = [first, *process.stdout.read().splitlines()]
        assert process.wait(10) == 1 and good("error", end)["exit"] == 1
        assert all(faults(name, json.loads(line)) == [] for line in lines)


def test_invite_and_join(tmp_path):
    with Lab(2) as lab:
        member, new = Member(lab[0]), lab[1]
        member.run([])
        member.daemon.write(member.daemon.config.read_text().replace("[Interface]\n", "[Interface]\nIntroducer = yes\n"))
        for command in (("sync", "--dry-run", member.daemon.config), ("reload",)):
            assert good(command[0], member.daemon.ctl(*command, "--json", check=False))["introducer_next"] is True
            assert "Introducer = yes is for the next start of the daemon" in member.daemon.ctl(*command, check=False)
            assert "Introducer = yes is for the next start" in member.daemon.log or command[0] == "sync"
        member.daemon.stop()
        member.daemon.start()
        member.daemon.attached()
        assert "introducer_next" not in good("reload", member.daemon.ctl("reload", "--json"))
        invited = good("invite", member.daemon.ctl("invite", "172.20.104.0/24", "--endpoint", lab[0].underlay, "--json"))
        join = [OVLCTL, "join", invited["token"], "--config", tmp_path / "peers.conf", "--name", "barge4", "--json"]
        joined = good("join", new.run(join))
        assert joined["range"] == invited["range"] and joined["config"] == str(tmp_path / "peers.conf")
        assert joined["next"][0].startswith("docker network create ") and joined["next"][1].startswith("ovltund ")
        assert joined["public_key"] == good("check", new.run([OVLCTL, "check", joined["config"], "--json"]))["public_key"]
        assert (tmp_path / "private.key").read_text().strip() not in json.dumps(joined)
        good("invite-list", member.daemon.ctl("invite", "list", "--json"))
        assert "is there already" in failed(2, *join, host=new)["what"]
        again = [word if word != tmp_path / "peers.conf" else tmp_path / "other" / "peers.conf" for word in join]
        assert "used already" in failed(1, *again, host=new)["what"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "private.key").write_text(keypair()[0] + "\n")
    (tmp_path / "private.key").chmod(0o600)
    return tmp_path


FILE = f"""[Interface]
PrivateKeyFile = private.key
ListenPort = 12345
Address = 10.1.2.3/24
[Network]
Bridge = ovl0
Subnet = 172.20.0.0/16
{BRIDGED}[Peer]
PublicKey = {'A' * 42}E=
Endpoint = barge2.example:12345
AllowedIPs = 172.20.102.0/24
VNIs = 7
"""


def run(folder, *argv):
    return subprocess.run([OVLCTL, *argv], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=20,
                          check=False)


def test_check(folder):
    (folder / "peers.conf").write_text(FILE)
    done = run(folder, "check", "--json", "peers.conf")
    assert done.returncode == 0 and done.stderr.startswith("warning: peers.conf:4: ")
    value = good("check", done.stdout)
    assert value["warnings"] == [{"line": 4, "text": '"Address" is wg-quick\'s, ignored'}] and value["file"] == "peers.conf"
    assert [(n["name"], n["mode"], n.get("vni"), n.get("members")) for n in value["networks"]] == [
        ("ovl0", "routed", None, None), ("seven", "bridged", 7, 1)]
    assert value["networks"][0]["subnets"] == ["172.20.0.0/16"] and value["listen_port"] == 12345
    assert [value[f"{what}_count"] for what in ("peer", "prefix", "endpoint", "endpoint_name")] == [1, 1, 1, 1]


@pytest.mark.parametrize("old, new, wrong", [
    ("ListenPort", "ListenPrt", {"line": 3, "what": 'unknown key "ListenPrt"', "nearest": "ListenPort"}),
    ("12345", "x", {"line": 3, "what": 'ListenPort "x"', "expected": "0 to 65535"}),
    ("[Peer]", "[Pear]", {"line": 13, "what": 'unknown section "Pear"', "nearest": "[Peer]"}),
    ("= bridged", "= bridgd", {"line": 11, "what": 'Mode "bridgd"', "expected": "routed or bridged", "nearest": "bridged"}),
    (FILE, "", {"what": "there is no [Interface]"}),
    (FILE, None, {"what": "No such file or directory"}),
])
def test_check_of_a_wrong_file(folder, old, new, wrong):
    if new is not None:
        (folder / "peers.conf").write_text(FILE.replace(old, new, 1))
    command = [OVLCTL, "check", "peers.conf"]
    if "Address" in FILE.partition(old)[0]:  # a warning comes first on standard error
        (folder / "peers.conf").write_text(FILE.replace(old, new, 1).replace("Address", "#Address"))
    value = failed(2, *command, "--json", cwd=folder)
    assert {key: value[key] for key in value if key not in ("ok", "version", "exit", "error")} == {"file": "peers.conf", **wrong}


def test_plan(folder):
    (folder / "hosts.txt").write_text(f"barge1 10.10.10.101\nbarge2 10.10.10.102 172.20.77.0/24 {'A' * 42}E=\n")
    command = ("plan", "hosts.txt", "--subnet", "172.20.0.0/16", "--json")
    done = run(folder, *command)
    assert (done.returncode, done.stderr) == (0, "")
    value = good("plan", done.stdout)
    assert [(h["name"], h["range"], h["endpoint"], h["private_key_here"]) for h in value["hosts"]] == [
        ("barge1", "172.20.1.0/24", "10.10.10.101:12345", True), ("barge2", "172.20.77.0/24", "10.10.10.102:12345", False)]
    assert value["folder"] == "plan" and value["vni"] is None and value["left"] == []
    assert value["picture"] == bool(shutil.which("dot")) and value["files_written"] == 7 + value["picture"]
    assert (folder / "plan" / "barge1" / "private.key").read_text().strip() not in done.stdout
    (folder / "hosts.txt").write_text("barge1 10.10.10.101\n")
    value = good("plan", run(folder, *command, "--bridged", "7").stdout)
    assert value["left"] == ["barge2"] and value["vni"] == 7
    (folder / "hosts.txt").write_text("barge1 10.10.10.101\nbarge2 10.10.10.102:x\n")
    value = failed(2, OVLCTL, *command, cwd=folder)
    assert (value["file"], value["line"], value["what"]) == ("hosts.txt", 2, 'endpoint "10.10.10.102:x"')
    assert value["expected"].startswith("an address or a DNS name")
    assert failed(2, OVLCTL, *command, "--port", "0", cwd=folder)["what"] == '--port "0"'


def test_every_command_fails_in_json(tmp_path):
    """Whatever is wrong, at what stage; and no command is left out that has the option."""
    text = run(tmp_path, "help").stdout
    names = re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)
    usages = {name: run(tmp_path, "help", name).stdout.splitlines()[0] for name in names}
    assert {name for name in names if "--json" not in usages[name]} == WITHOUT and len(names) > len(WITHOUT)
    for name in names:
        as_wg = name in WITHOUT - {"capture"}
        said = failed(1 if as_wg else 2, OVLCTL, name, "--json", "--nonsense")["error"]
        unknown = "--json" if name in WITHOUT else "--nonsense"
        assert said == (usages[name] if as_wg else f'{name}: unknown option "{unknown}"; see ovlctl help {name}')
    assert failed(2, OVLCTL, "chekc", "--json")["nearest"] == "check"
    assert failed(2, OVLCTL, "-x", "show", "--json")
    (tmp_path / "private.key").write_text(keypair()[0] + "\n")
    (tmp_path / "private.key").chmod(0o600)
    (tmp_path / "peers.conf").write_text(FILE.replace("Address", "#Address"))
    nobody = tmp_path / "nobody.ctl"
    for command in [*ASKING, f"sync {tmp_path}/peers.conf"]:
        assert failed(1, OVLCTL, "--socket", nobody, *command.split(), "--json")["what"] == f"no ovltund listens on {nobody}"
    told = {command.split()[0] for command in ASKING} | {"sync", "check", "plan", "join", "doctor"}
    assert told == set(names) - WITHOUT
    assert failed(2, OVLCTL, "join", "nonsense", "--json")
    # What doctor finds is no failure of its own.
    done = run(tmp_path, "--socket", nobody, "doctor", "-c", tmp_path / "peers.conf", "--json")
    assert done.returncode == 1 and good("doctor", done.stdout)["healthy"] is False
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "w") as full:
        assert subprocess.run([OVLCTL, "check", "peers.conf", "--json"], cwd=tmp_path, stdout=full, check=False).returncode == 1


def kind_of(schema):
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", ["object", "null"])  # null, or what stands elsewhere
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def rows_of(schema, path=""):
    """A definition as a table of the text has it: a line a field; what is the same as another object is not told again."""
    for name, part in schema.get("properties", {}).items():
        told = part.get("description", "")
        yield f"| `{path}{name}` | {kind_of(part)} | {told} |"
        if not re.match("the (same|answer to that)", told):
            yield from rows_of(part, f"{path}{name}.")
    if isinstance(schema.get("items"), dict):
        yield from rows_of(schema["items"], f"{path.removesuffix('.')}[].")


def test_the_text_has_what_the_schema_has():
    tables = [re.findall(r"^\| `.*$", part, re.MULTILINE) for part in (DOCS / "json.md").read_text().split("\n## ")]
    definitions = json.loads((DOCS / "ovlctl.schema.json").read_text())["definitions"]
    for name, definition in definitions.items():
        # An event is one of those that events prints.
        assert name == "event" or list(rows_of(definition)) in tables, name
    assert len(list(filter(None, tables))) == len(definitions) - 1
