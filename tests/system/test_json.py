# SPDX-License-Identifier: MIT
"""What ovlctl prints with --json, against the schema in docs/."""
import copy
import json
import pathlib

import pytest

from lab import wait_for
from test_watch import ovlctl, spoof, stranger_sends

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
COMMANDS = {"invite-list": ("invite", "list"), "show": ("show",), "drops": ("show", "drops"), "drops-last": ("show", "drops", "--last"),
            "neigh": ("show", "neigh"), "fdb": ("fdb", "list"), "routes": ("route", "list"),
            "route": ("route", "get", "172.20.102.2"), "events": ("events",), "doctor": ("doctor",),
            "trace": ("trace", "172.20.102.2")}


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def faults(name, value):
    jsonschema = pytest.importorskip("jsonschema", reason="no python3-jsonschema")
    schema = json.loads((DOCS / "ovlctl.schema.json").read_text())
    assert set(schema["definitions"]) == {*COMMANDS, "event", "sync"}
    jsonschema.Draft7Validator.check_schema(schema)
    whole = {**schema, "$ref": f"#/definitions/{name}"}
    return [f"{list(e.absolute_path)}: {e.message}" for e in jsonschema.Draft7Validator(whole).iter_errors(value)]


def last_drops(daemon):
    return json.loads(daemon.ctl("show", "drops", "--last", "--json"))["last"]


def test_output_is_as_documented(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    bridged = "[Network]\nName = seven\nBridge = ovl7\nMode = bridged\nVNI = 7\nFDB = 02:00:00:00:00:01 local\n"
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


def test_every_field_is_in_the_text():
    text = (DOCS / "json.md").read_text()

    def names(schema):
        for name, part in schema.get("properties", {}).items():
            yield name
            yield from names(part)
        if isinstance(schema.get("items"), dict):
            yield from names(schema["items"])

    for definition in json.loads((DOCS / "ovlctl.schema.json").read_text())["definitions"].values():
        for name in names(definition):
            assert f"{name}`" in text, name
