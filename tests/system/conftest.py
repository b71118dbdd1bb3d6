# SPDX-License-Identifier: MIT
"""Fixtures: a laboratory for a test, and the configurations most tests want."""
import os
import pathlib
import sys
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Daemon, Lab, LabError, keypair  # noqa: E402
from lab.net import sh  # noqa: E402
from lab.package import build_package, missing_tools  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--tier", default="ci", choices=("ci", "long"), help="long: the tests marked so, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; runs in the long tier only")
    config.addinivalue_line("markers", "workers(two=…): runs once more with two workers; two=\"long\": that in the long tier")
    config.addinivalue_line("markers", "docker: needs Docker engines")
    config.addinivalue_line("markers", "early: takes ten seconds and more")


# Fixtures that all tests of a module share: with --dist=loadgroup those tests go to one process.
SHARED = {"field", "package", "program", "shell", "ward"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if config.getoption("--tier") != "long":
        config.hook.pytest_deselected(items=[item for item in items if "long" in item.keywords])
        items[:] = [item for item in items if "long" not in item.keywords]
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        for name in SHARED.intersection(item.fixturenames):
            which = item.callspec.params.get(name, "") if hasattr(item, "callspec") else ""
            item.add_marker(pytest.mark.xdist_group(f"{item.module.__name__}-{name}{which}"))

    # What takes longest first, so that it is not left over at the end; and shuffled, so that tests that load the
    # processors run beside such as wait. What shares something stays as it is in its file.
    def rank(item):
        group = item.get_closest_marker("xdist_group")
        return not (group or "early" in item.keywords), zlib.crc32((group.args[0] if group else item.nodeid).encode())

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter):
    """What tests measured (record_property "measured"), whichever process ran them."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "measured" and report.when == "call":
                terminalreporter.write_line(f"{report.location[2]}: {text}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure tells what the daemons dropped, as long as they are there to ask."""
    report = (yield).get_result()
    if report.when != "call" or not report.failed:
        return
    for lab in Lab.open_ones():
        report.sections.extend(lab.describe())


@pytest.fixture(params=["uring", "poll"])
def io(request):
    """Every system test runs over both backends."""
    return request.param


@pytest.fixture(autouse=True)
def workers(request, monkeypatch):
    """How many the daemons of a test have."""
    count = getattr(request, "param", Daemon.workers)
    monkeypatch.setattr(Daemon, "workers", count)
    return count


def pytest_generate_tests(metafunc):
    marker = metafunc.definition.get_closest_marker("workers")
    if marker:
        two = pytest.param(2, marks=[pytest.mark.long] if marker.kwargs.get("two") == "long" else [])
        metafunc.parametrize("workers", [1, two], indirect=True, ids=["one worker", "two workers"])


@pytest.fixture
def lab():
    with Lab(2) as two:
        yield two


@pytest.fixture
def lab3():
    with Lab(3) as three:
        yield three


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The .deb, and where it was unpacked. Processes of one run share what takes long, building it."""
    missing = missing_tools()
    if missing:
        pytest.skip(f"not here, and needed to build the package: {', '.join(missing)}")
    base = tmp_path_factory.getbasetemp()
    deb = build_package(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
    root = tmp_path_factory.mktemp("deb") / "root"
    sh(["dpkg-deb", "-x", deb, root])
    return deb, root


class Overlay:
    """Daemons on every host of a lab, one network each, one container each.

    Host i has 172.20.(101+i).0/24 and fd20:(101+i)::/64 of 172.20.0.0/16 and fd20::/16.
    """

    def __init__(self, lab, io, over=4, psk=False, start=True, mtu=None, keys=None):
        self.lab = lab
        self.io = io
        self.over = over
        self.psk = sharedkey() if psk else None
        self.keys = keys or [keypair() for _ in lab.hosts]
        self.containers = []
        for host in lab:
            third = 101 + host.index
            host.bridge("ovl0", address=f"172.20.{third}.1/16", address6=f"fd20:{third}::1/16", mtu=mtu)
            self.containers.append(self.container(host, f"c{host.index + 1}", 2, mtu=mtu))
        self.daemons = [self.daemon(host) for host in lab] if start else []
        for daemon in self.daemons:
            daemon.attached()

    def container(self, host, name, number, **kwargs):
        third = 101 + host.index
        return host.container(name, address=f"172.20.{third}.{number}/16", gateway=f"172.20.{third}.1",
                              address6=f"fd20:{third}::{number}/16", **kwargs)

    def endpoint(self, host):
        return f"{host.underlay}:12345" if self.over == 4 else f"[{host.underlay6}]:12345"

    def config(self, host, extra=""):
        own = host.index
        text = f"[Interface]\nPrivateKey = {self.keys[own][0]}\nListenPort = 12345\n"
        text += f"[Network]\nBridge = ovl0\nRange = 172.20.{101 + own}.0/24, fd20:{101 + own}::/64\n{extra}"
        for other in self.lab:
            if other is not host:
                text += self.peer(other)
        return text

    def peer(self, other, extra=""):
        psk = f"PresharedKey = {self.psk}\n" if self.psk else ""
        return (f"[Peer]\nName = {other.name}\nPublicKey = {self.keys[other.index][1]}\n{psk}"
                f"Endpoint = {self.endpoint(other)}\n"
                f"AllowedIPs = 172.20.{101 + other.index}.0/24, fd20:{101 + other.index}::/64\n{extra}")

    def daemon(self, host, **kwargs):
        return Daemon(host, self.config(host), io=self.io, **kwargs)


def sharedkey():
    return sh("wg genpsk").strip()


@pytest.fixture
def overlay(lab, io):
    return Overlay(lab, io)


@pytest.fixture
def overlay3(lab3, io):
    return Overlay(lab3, io)
