# SPDX-License-Identifier: MIT
"""What ovlctl prints with --json, against the schema in docs/."""
import copy
import json
import pathlib

import pytest

from lab import wait_for

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
COMMANDS = {"show": ("show",), "drops": ("show", "drops"), "neigh": ("show", "neigh"), "fdb": ("fdb", "list"),
            "routes": ("route", "list")}


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def faults(name, value):
    jsonschema = pytest.importorskip("jsonschema", reason="no python3-jsonschema")
    schema = json.loads((DOCS / "ovlctl.schema.json").read_text())
    assert set(schema["definitions"]) == set(COMMANDS)
    jsonschema.Draft7Validator.check_schema(schema)
    whole = {**schema, "$ref": f"#/definitions/{name}"}
    return [f"{list(e.absolute_path)}: {e.message}" for e in jsonschema.Draft7Validator(whole).iter_errors(value)]


def test_output_is_as_documented(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    bridged = "[Network]\nName = seven\nBridge = ovl7\nMode = bridged\nVNI = 7\nFDB = 02:00:00:00:00:01 local\n"
    nobody = f"[Peer]\nPublicKey = {'A' * 42}E=\n"
    daemon.write(overlay.config(host) + bridged + nobody)
    print(daemon.ctl("reload"))
    wait_for(lambda: a.ping(b.address, timeout=1), 15)
    for name, command in COMMANDS.items():
        value = json.loads(daemon.ctl(*command, "--json"))
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
