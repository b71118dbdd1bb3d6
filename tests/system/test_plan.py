# SPDX-License-Identifier: MIT
"""ovlctl plan: from a list of hosts to an overlay that runs, and one host more."""
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

from lab import Daemon, DockerEngine, Lab, keypair, wait_for
from lab.daemon import build_folder
from lab.docker import available

OVLCTL = str(build_folder().resolve() / "ctl" / "ovlctl")
SUBNET = "172.20.0.0/16"
PATH = {**os.environ, "PATH": f"{pathlib.Path(OVLCTL).parent}:{os.environ['PATH']}"}

needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="no dot (graphviz)")


def run(folder, *arguments, **kwargs):
    return subprocess.run([OVLCTL, "plan", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", timeout=20, check=False, **kwargs)


def plan(folder, text, *arguments, **kwargs):
    """Plans the hosts of @text in @folder/plan, which has to work."""
    (folder / "hosts.txt").write_text(text, encoding="utf-8")
    result = run(folder, "hosts.txt", "--subnet", SUBNET, *arguments, **kwargs)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


def tree(folder):
    """Each file's content and mode, each folder's mode."""
    return {str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
            for path in folder.rglob("*")}


def config_of(folder, name):
    return (folder / "plan" / name / "peers.conf").read_text(encoding="utf-8")


def typed(text, start):
    """The commands of a SETUP that begin so."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith(start)]


HOSTS = "barge1 10.10.10.101 172.20.101.0/24\nbarge2 10.10.10.102\nbarge3 barge3.example.org:4444\n"


class Planned:
    """A host of the lab, set up as its SETUP says: each command but docker's and systemctl's is typed."""

    def __init__(self, host, folder, io, bridged=None):
        self.name = host.name
        setup = (folder / "plan" / self.name / "SETUP").read_text(encoding="utf-8")
        self.etc = folder / f"etc-{self.name}"
        commands = [line.strip() for line in setup.splitlines() if line.startswith("   ") and ". " not in line[:6]]
        commands = [c for c in commands if re.match("install|test|ovlctl", c)]
        assert len(commands) >= 3
        script = "set -e\n" + "\n".join(commands).replace("/etc/ovltun", str(self.etc))
        result = subprocess.run(["bash", "-c", script], cwd=folder / "plan" / self.name, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                                env=PATH)
        assert result.returncode == 0, result.stdout
        self.network(host, setup)
        self.daemon = Daemon(host, "", io=io, start=False)
        self.daemon.config = self.etc / "peers.conf"
        self.daemon.start()
        self.daemon.attached()

    def network(self, host, setup):
        """What the docker line makes, without Docker."""
        line, = typed(setup, "docker network create")
        found = re.fullmatch(r"docker network create --subnet 172\.20\.0\.0/16 --ip-range (\S+)/24 --gateway (\S+) "
                             r"--opt com\.docker\.network\.bridge\.name=(\S+) (\S+)", line)
        address, gateway, bridge, _ = found.groups()
        assert typed(setup, "systemctl") == ["systemctl enable --now ovltund.service"]
        prefix = address.rpartition(".")[0]
        assert gateway == f"{prefix}.1"
        self.gateway = gateway
        host.bridge(bridge, address=f"{gateway}/16")
        self.container = host.container(f"c{host.index + 1}", bridge=bridge, address=f"{prefix}.2/16", gateway=gateway)

    def copy_config(self, folder):
        shutil.copy(folder / "plan" / self.name / "peers.conf", self.etc / "peers.conf")
        self.daemon.ctl("reload")


def assert_all_ping(planned):
    for a in planned:
        for b in planned:
            if a is not b:
                wait_for(lambda: a.container.ping(b.container.address), 10, f"{a.name} to {b.name}")


@pytest.mark.parametrize("options", [(), ("--bridged", "7")], ids=["routed", "bridged"])
def test_three_hosts_and_a_fourth(tmp_path, io, options):
    """Run from exactly the files of the plan; one of the keys is made at its host."""
    private, public = keypair()
    with Lab(4) as lab:
        lines = [f"{host.name} {host.underlay}\n" for host in lab]
        lines[1] = f"{lab[1].name} [{lab[1].underlay6}]:4444 {public}\n"
        lines[0] = f"{lab[0].name} {lab[0].underlay6}\n"
        lines[2] = f"{lab[2].name} {lab[2].underlay6} 172.20.77.0/24\n"
        lines[3] = f"{lab[3].name} {lab[3].underlay6}\n"
        plan(tmp_path, "".join(lines[:3]), *options)
        at_host = tmp_path / "etc-barge2"
        at_host.mkdir(mode=0o700)
        (at_host / "private.key").write_text(private + "\n", encoding="utf-8")
        (at_host / "private.key").chmod(0o600)
        planned = [Planned(host, tmp_path, io) for host in lab.hosts[:3]]
        assert_all_ping(planned)
        assert planned[2].container.address == "172.20.77.2"

        plan(tmp_path, "".join(lines), *options)
        for one in planned:
            one.copy_config(tmp_path)
        planned.append(Planned(lab[3], tmp_path, io))
        assert_all_ping(planned)


@pytest.mark.skipif(not available(), reason="no Docker engine is installed")
@pytest.mark.parametrize("options", [
    pytest.param((), id="routed"),
    pytest.param(("--bridged", "7"), id="bridged", marks=pytest.mark.long),
])
def test_the_docker_lines_of_setup(tmp_path, lab, options):
    """Real engines make the networks by the lines of SETUP, and give their containers addresses themselves."""
    plan(tmp_path, "".join(f"{host.name} {host.underlay}\n" for host in lab), *options)
    engines, daemons = [DockerEngine(host) for host in lab], []
    for host, engine in zip(lab, engines):
        line, = typed((tmp_path / "plan" / host.name / "SETUP").read_text(encoding="utf-8"), "docker network create")
        engine.docker(*line.split()[1:])
        engine.docker("run", "-d", "--rm", "--network", line.split()[-1], "--name", "c1", "lab", "sleep", "600")
        daemons.append(Daemon(host, "", start=False))
        daemons[-1].config = tmp_path / "plan" / host.name / "peers.conf"
        daemons[-1].start()
    addresses = [engine.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "c1").strip()
                 for engine in engines]
    assert [address.rpartition(".")[0] for address in addresses] == ["172.20.1", "172.20.2"]
    for daemon in daemons:
        daemon.attached(seconds=20)
    for one, far in ((0, 1), (1, 0)):
        wait_for(lambda: engines[one].ping("c1", addresses[far]), 15, f"container {one} to reach {addresses[far]}")


def test_a_further_host_is_one_peer_more(tmp_path):
    plan(tmp_path, HOSTS)
    before = tree(tmp_path / "plan")
    configs = {name: config_of(tmp_path, name) for name in ("barge1", "barge2", "barge3")}
    # In the middle: what the others have does not depend on the order.
    plan(tmp_path, HOSTS.replace("barge2", "barge4 10.10.10.104\nbarge2"))
    after = tree(tmp_path / "plan")
    for name, config in configs.items():
        lines = list(difflib.ndiff(config.splitlines(), config_of(tmp_path, name).splitlines()))
        assert not [line for line in lines if line.startswith("- ")]
        added = [line[2:].partition(" ")[0] for line in lines if line.startswith("+ ")]
        assert sorted(added) == sorted(["", "[Peer]", "Name", "PublicKey", "Endpoint", "AllowedIPs"])
    changed = {name for name in before if before[name] != after[name]}
    assert changed - {"mesh.svg"} == {"plan.txt", "mesh.dot"} | {f"{name}/peers.conf" for name in configs}
    assert {name for name in after if name not in before} - {"mesh.svg"} == {
        "barge4", "barge4/peers.conf", "barge4/private.key", "barge4/SETUP"}
    assert "AllowedIPs = 172.20.3.0/24" in config_of(tmp_path, "barge1")


def test_again_writes_nothing(tmp_path):
    plan(tmp_path, HOSTS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "plan").rglob("*")}
    assert "plan: 0 files written" in plan(tmp_path, HOSTS)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "plan").rglob("*")}


def test_private_keys_lie_in_their_folders_alone(tmp_path):
    _, public = keypair()
    old = os.umask(0)
    try:
        plan(tmp_path, HOSTS + f"barge4 10.10.10.104 {public}\n")
    finally:
        os.umask(old)
    files = tree(tmp_path / "plan")
    keys = {name: data.decode().strip() for name, (_, data) in files.items() if name.endswith("private.key")}
    assert set(keys) == {f"barge{i}/private.key" for i in (1, 2, 3)}
    for name, key in keys.items():
        assert files[name][0] & 0o7777 == 0o600
        assert files[name.partition("/")[0]][0] & 0o7777 == 0o700
        assert [other for other, (_, data) in files.items() if data and key.encode() in data] == [name]
    assert "PrivateKeyFile = private.key" in config_of(tmp_path, "barge4")
    assert f"PublicKey = {public}" in config_of(tmp_path, "barge1")


def test_a_key_that_has_left_is_not_made_anew(tmp_path):
    plan(tmp_path, HOSTS)
    config = config_of(tmp_path, "barge2")
    key = tmp_path / "plan" / "barge1" / "private.key"
    key.unlink()
    plan(tmp_path, HOSTS)
    assert not key.exists()
    assert config_of(tmp_path, "barge2") == config


def test_check_takes_every_config(tmp_path):
    plan(tmp_path, HOSTS)
    for name in ("barge1", "barge2", "barge3"):
        result = subprocess.run([OVLCTL, "check", tmp_path / "plan" / name / "peers.conf"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, encoding="utf-8", check=False, timeout=20)
        assert result.returncode == 0 and "peers: 2, with 2 prefixes and 2 endpoints" in result.stdout


@pytest.mark.parametrize("text, message", [
    ("barge1 10.10.10.105\n", "hosts.txt:4: host \"barge1\" stands in line 1 already"),
    ("barge4 10.10.10\n", "hosts.txt:4: endpoint \"10.10.10\": expected an address"),
    ("barge4 10.10.10.104 172.20.101.64/26\n",
     "hosts.txt:4: range 172.20.101.64/26 overlaps 172.20.101.0/24 of \"barge1\" in line 1"),
    ("barge4 10.10.10.104 172.20.1.64/26\n", "hosts.txt:4: range 172.20.1.64/26 of \"barge4\" overlaps 172.20.1.0/24"),
    ("barge4 10.10.10.104 please\n", "hosts.txt:4: unknown word \"please\""),
    ("barge4\n", "hosts.txt:4: host \"barge4\" has no endpoint"),
    ("barge4 172.20.9.9\n", "hosts.txt:4: endpoint \"172.20.9.9\" lies in the overlay itself"),
])
def test_what_is_refused_changes_nothing(tmp_path, text, message):
    plan(tmp_path, HOSTS)
    before = tree(tmp_path / "plan")
    (tmp_path / "hosts.txt").write_text(HOSTS + text, encoding="utf-8")
    result = run(tmp_path, "hosts.txt", "--subnet", SUBNET)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(message) and result.stderr.count("\n") == 1, result.stderr
    assert tree(tmp_path / "plan") == before


def test_another_key_than_the_one_that_lies_there(tmp_path):
    plan(tmp_path, HOSTS)
    before = tree(tmp_path / "plan")
    _, public = keypair()
    (tmp_path / "hosts.txt").write_text(HOSTS.replace(".102", f".102 {public}"), encoding="utf-8")
    result = run(tmp_path, "hosts.txt", "--subnet", SUBNET)
    assert result.returncode == 2
    assert result.stderr.startswith("hosts.txt:2: the public key of \"barge2\" is not that of plan/barge2/private.key")
    assert tree(tmp_path / "plan") == before


@pytest.mark.parametrize("options, message", [
    (("--subnet", "172.20.0.0/33"), "ovlctl: --subnet \"172.20.0.0/33\": expected a subnet"),
    (("--subnet", "fd20::/64"), "ovlctl: --subnet \"fd20::/64\": expected an IPv4 subnet"),
    (("--subnet", "172.20.1.0/24", "--prefix", "16"), "ovlctl: --prefix \"16\": a host's range cannot be larger"),
    (("--subnet", SUBNET, "--prefix", "30"), "ovlctl: --prefix \"30\": expected a length of 29 bits at most"),
    (("--subnet", SUBNET, "--port", "65536"), "ovlctl: --port \"65536\": expected a number"),
    (("--subnet", SUBNET, "--bridged", "0"), "ovlctl: --bridged \"0\": expected a VNI"),
    (("--subnet", "10.20.101.0/24"), "hosts.txt:1: range 172.20.101.0/24 is not within the subnet, 10.20.101.0/24"),
    (("--subnet", "172.20.101.0/24", "--prefix=25"), "hosts.txt:2: no /25 of 172.20.101.0/24 is left for \"barge2\""),
    ((), "ovlctl: plan: --subnet SUBNET is missing"),
    (("--subnet",), "ovlctl: plan: SUBNET is missing after --subnet"),
    (("--subnet", SUBNET, "--subent", "1"), "ovlctl: plan: unknown option \"--subent\"; did you mean \"--subnet\"?"),
    (("--subnet", SUBNET, "--subnet", SUBNET), "usage: ovlctl plan"),
])
def test_wrong_options(tmp_path, options, message):
    (tmp_path / "hosts.txt").write_text(HOSTS, encoding="utf-8")
    result = run(tmp_path, "hosts.txt", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(message) and result.stderr.count("\n") == 1, result.stderr
    assert not (tmp_path / "plan").exists()


def test_port_and_prefix(tmp_path):
    plan(tmp_path, "a 10.10.10.1\nb 10.10.10.2\n", "--port=500", "--prefix=26", "--out=there")
    text = (tmp_path / "there" / "a" / "peers.conf").read_text(encoding="utf-8")
    assert "ListenPort = 500\n" in text and "Range = 172.20.0.64/26\n" in text
    assert "Endpoint = 10.10.10.2:500\nAllowedIPs = 172.20.0.128/26\n" in text


def test_full_disk_leaves_the_old_plan_whole(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    try:
        plan(disk, HOSTS)
        (disk / "hosts.txt").write_text(HOSTS + "".join(f"further{i} 10.10.11.{i}\n" for i in range(9)), encoding="utf-8")
        before = tree(disk / "plan")
        free = os.statvfs(disk).f_bavail
        assert free > 8
        # Less and less is left, so that it ends at another file each time.
        for left in (12, 6, 3, 1, 0):
            with open(disk / "filler", "wb") as filler:
                filler.write(b"x" * 4096 * max(0, os.statvfs(disk).f_bavail - left))
            result = run(disk, "hosts.txt", "--subnet", SUBNET)
            assert result.returncode == 1
            assert re.fullmatch(r"plan/\S+: No space left on device\n", result.stderr)
            assert tree(disk / "plan") == before
            (disk / "filler").unlink()
        assert run(disk, "hosts.txt", "--subnet", SUBNET).returncode == 0
    finally:
        subprocess.run(["umount", disk], check=True)


@needs_dot
def test_picture(tmp_path):
    assert "no picture" not in plan(tmp_path, HOSTS)
    picture = xml.etree.ElementTree.parse(tmp_path / "plan" / "mesh.svg")
    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"barge1", "172.20.101.0/24", "barge3.example.org:4444", "172.20.0.0/16, 3 hosts"} <= texts
    edges = [e for e in picture.iter("{http://www.w3.org/2000/svg}g") if e.get("class") == "edge"]
    assert len(edges) == 3


def test_without_dot(tmp_path):
    said = plan(tmp_path, HOSTS, env={"PATH": str(tmp_path)})
    assert said.endswith("no picture: mesh.dot is there, but not graphviz's dot, which draws it\n")
    assert (tmp_path / "plan" / "mesh.dot").exists() and not (tmp_path / "plan" / "mesh.svg").exists()


def test_what_the_documents_say_is_typed(tmp_path):
    """Each block of docs/plan.md, in order, with the list that it makes for README.md's line as well."""
    top = pathlib.Path(__file__).resolve().parents[2]
    blocks = re.findall(r"```\n(.*?)```", (top / "docs" / "plan.md").read_text(encoding="utf-8"), re.DOTALL)
    line, = re.findall(r"^ovlctl plan .*$", (top / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(blocks) == 2
    for text in [*blocks, line]:
        result = subprocess.run(["bash", "-ec", text], cwd=tmp_path, check=False, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, encoding="utf-8", env=PATH)
        assert result.returncode == 0, result.stdout
    assert "plan: 0 files written" in result.stdout
    assert {path.name for path in (tmp_path / "plan").iterdir()} - {"mesh.svg"} == {
        "barge1", "barge2", "barge3", "barge4", "plan.txt", "mesh.dot"}


@needs_dot
def test_a_picture_that_is_out_of_date_is_drawn_again(tmp_path):
    plan(tmp_path, HOSTS)
    plan(tmp_path, HOSTS + "barge4 10.10.10.104\n", env={"PATH": str(tmp_path)})
    picture = tmp_path / "plan" / "mesh.svg"
    assert "barge4" not in picture.read_text(encoding="utf-8")
    plan(tmp_path, HOSTS + "barge4 10.10.10.104\n")
    assert "barge4" in picture.read_text(encoding="utf-8")


def test_a_run_that_was_killed_is_run_again(tmp_path):
    """What lies under the other names, a key too, is not taken for anything."""
    (tmp_path / "plan" / "barge1").mkdir(parents=True)
    for name in ("private.key.new", "peers.conf.new"):
        (tmp_path / "plan" / "barge1" / name).write_text("half of a", encoding="utf-8")
    plan(tmp_path, HOSTS)
    assert not list((tmp_path / "plan").rglob("*.new"))
    assert (tmp_path / "plan" / "barge1" / "private.key").stat().st_mode & 0o7777 == 0o600
