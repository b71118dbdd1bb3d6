# SPDX-License-Identifier: MIT
"""Everything that README.md, docs/ and the manual tell a reader to type.

Each command is found in the text, in a block or within a line, and typed as it stands on barge1, whose
/etc and /run are its own and where `ovltund -c /etc/ovltun/peers.conf` runs with README's file. What wants
an engine, an init system or hours is typed by the test that is named for it below. A command that is
neither fails, and so does a name below that no text needs any more.
"""
import itertools
import os
import pathlib
import re
import subprocess

import pytest

from lab import Lab, keypair, wait_for
from lab.daemon import build_folder
from lab.net import sh

TOP = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ["README.md", *sorted(f"docs/{path.name}" for path in (TOP / "docs").glob("*.md")), "docs/man/ovlctl.8.in",
         "docs/man/ovltund.8"]
PROGRAM = re.compile(r"(?:\w+=\S+ )?(?:\((?:umask \d+); )?(ovlctl|ovltund|wg|mkdir|docker|systemctl|iptables|apt-get|tests/run\.py|"
                     r"\./quickstart|bench/\w+|packaging/\S+|meson|build/\S+)(?= |$)")

# Typed elsewhere: by a file, whose text has these words where it does so.
ELSEWHERE = {
    r"docker ": ("tests/system/test_docker.py", "lines_of"),
    r"systemctl ": ("tests/system/test_packaging.py", "ExecStart"),
    r"apt-get |packaging/build-deb": ("tests/system/lab/package.py", "build-deb"),
    r"\./quickstart (demo|packages)": ("tests/system/demo.py", "serf"),
    r"\./quickstart test": (".ci/run", "quickstart test"),
    r"meson (setup|test|install)": ("tests/run.py", "meson"),
    r"build/tests/|tests/run\.py": ("tests/run.py", "--tier"),
    r"\(umask 077; ovlctl genkey > /etc": ("tests/system/test_typed.py", "ovlctl genkey"),
    r"ovlctl (invite|join)( |$)|ovlctl peer remove (invite-|barge4)": ("tests/system/test_join.py", "\"join\""),
    r"wg set": ("tests/system/test_interop.py", "\"set\""),
    r"ovlctl capture": ("tests/system/test_capture.py", "def test_what_the_texts_say"),
    r"ovltund -c /etc/ovltun/peers.conf$": ("tests/system/test_typed.py", "shell.start(\"ovltund"),
}

# What stands for something in a command, and what is typed for it.
PLACEHOLDERS = {"FILE": "/etc/ovltun/peers.conf", "ADDRESS": "172.20.102.2", "PEER": "barge2", "NETWORK": "ovl0", "NAME": "barge3",
                "HOSTS": "hosts.txt", "SUBNET": "172.20.0.0/16",
                "ROUNDS": "1"}

# Exit statuses that say what was found.
FINDS = {r"ovlctl (doctor|trace)": (0, 1)}

# These go on until they are told to end.
ENDLESS = re.compile(r"ovlctl (events .*--follow|top( --json)?$)")


def commands_of(name):
    """Commands of a text, each with the line that it stands in."""
    text = (TOP / name).read_text(encoding="utf-8").replace("\\e", "\\")
    manual = name.startswith("docs/man/")
    block = r"^\.Bd -literal.*?\n(.*?)^\.Ed" if manual else r"^```\w*\n(.*?)^```"
    blanked = text
    for found in re.finditer(block, text, re.MULTILINE | re.DOTALL):
        start = text.count("\n", 0, found.start(1)) + 1
        if not manual and not any(PROGRAM.match(line) for line in found[1].splitlines()[:1]):
            blanked = blanked.replace(found[0], re.sub(r"[^\n]", " ", found[0]), 1)
            continue
        blanked = blanked[:found.start()] + re.sub(r"[^\n]", " ", found[0]) + blanked[found.end():]
        for line in re.finditer(r"(?:.*\\\n)*.*\n", found[1]):
            yield start + found[1].count("\n", 0, line.start()), line[0].strip()
    inline = r"^\.Dl (.*)$" if manual else r"`([^`\n]+)`"
    for found in re.finditer(inline, blanked, re.MULTILINE):
        yield text.count("\n", 0, found.start()) + 1, found[1].strip()


def variants(command):
    """a|b and [c] written out, placeholders filled in, the remark behind two blanks or a # left away."""
    command = re.split(r"\s{2,}#|\s{3,}|\s#\s", command.replace("\\\n", " "), maxsplit=1)[0]
    command = re.sub(r"ovltund …$", "ovltund -c /etc/ovltun/peers.conf --check", re.sub(r"\s+", " ", command))
    parts = []
    for word in re.findall(r"\[[^\]]*\]|\S+", command):
        setting, _, value = word.strip("[]").rpartition("=") if re.match(r"\w+=", word) else ("", "", word.strip("[]"))
        choices = value.split("|") if len(word) > 1 else [word]
        parts.append([(f"{setting}=" if setting else "") + PLACEHOLDERS.get(choice, choice) for choice in choices])
        if word.startswith("["):
            parts[-1].append("")
    return [" ".join(filter(None, words)) for words in itertools.product(*parts)]


class Shell:
    """What a host's administrator has: its network, /etc and /run of its own, the programs in PATH."""

    def __init__(self, host, folder):
        self.host, self.folder, self.key = host, folder, keypair()[0]
        folder.mkdir()
        script = (f"mount -t tmpfs tmpfs {folder} && cd {folder} && mkdir upper work home && "
                  "mount -t overlay overlay -o lowerdir=/etc,upperdir=upper,workdir=work /etc && "
                  "mount -t tmpfs tmpfs /run && echo ready && exec sleep 1000")
        self.keeper = host.popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script])
        said = self.keeper.stdout.readline()
        if said != "ready\n":
            pytest.skip(f"no overlay file system: {said.strip()}")

    def argv(self, line):
        return ["nsenter", f"--target={self.keeper.pid}", "--mount", "--net", f"--wdns={self.folder}/home", "env",
                f"PATH={build_folder() / 'ctl'}:{os.environ['PATH']}", "bash", "-c", line]

    def type(self, line):
        """What it said, and its exit status. Who reads a key finds one."""
        done = subprocess.run(self.argv(line), check=False, timeout=20, text=True, input=self.key + "\n",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout, done.returncode

    def put(self, path, text):
        subprocess.run(self.argv(f"umask 077; cat > {path}"), input=text, text=True, check=True)

    def start(self, line):
        return self.host.popen(self.argv("exec " + line))


def block_with(name, words):
    """The block of a text that has @words."""
    text = (TOP / name).read_text(encoding="utf-8")
    return next(found for found in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if words in found)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """barge1 by README's steps 3 to 6, and barge2 likewise; a bridged network 7 on both."""
    with Lab(2) as lab:
        folder = tmp_path_factory.mktemp("typed")
        shells = [Shell(host, folder / host.name) for host in lab]
        keys = []
        for shell in shells:
            *make, tell = block_with("README.md", "ovlctl genkey").splitlines()
            assert all(shell.type(line) == ("", 0) for line in make)
            keys.append(shell.type(tell)[0].strip())
        readme, bridged = block_with("README.md", "[Interface]"), block_with("README.md", "VNI = 7")
        for host, shell in zip(lab, shells):
            own, other = host.index, 1 - host.index
            host.bridge("ovl0", address=f"172.20.{101 + own}.1/16")
            host.bridge("ovl7")
            text = readme.replace("barge2", f"barge{other + 1}").replace("10.10.10.102", lab[other].underlay)
            text = text.replace("172.20.102.0", f"172.20.{101 + other}.0")
            for key in (keys[other], keypair()[1]):
                text = text.replace("PublicKey = …", f"PublicKey = {key}\nVNIs = 7", 1)
            shell.put("/etc/ovltun/peers.conf", text.replace("\n[Peer]", f"\n{bridged}\n[Peer]", 1))
            shell.daemon = shell.start("ovltund -c /etc/ovltun/peers.conf")
        for shell in shells:
            wait_for(lambda shell=shell: shell.type("ovlctl show")[1] == 0, 10, "ovltund to answer")
        inside = lab[0].container("c1", address="172.20.101.2/16", gateway="172.20.101.1")
        lab[1].container("c2", address="172.20.102.2/16", gateway="172.20.102.1")
        assert inside.ping("172.20.102.2", timeout=10)
        yield shells[0]
        assert shells[0].daemon.poll() is None


def is_mentioned(command, said):
    """A command without its arguments: the tool says how it goes on."""
    verb, last = command.split()[1], command.split()[-1]
    if said.startswith(f"ovlctl: {verb}: "):
        return " is missing" in said
    return said.startswith(f"usage: ovlctl {verb}") and last in said.split()


def type_bench(command):
    """Hours of measuring are not for a test; that each option and value is known is."""
    program, *words = [word for word in command.split() if not re.match(r"\w+=", word)]
    told = re.sub(r"-\s+", "-", sh([TOP / program, "--help"]))
    values = [value for word in words if word.startswith("--") or "," in word for value in word.split(",")]
    return ", ".join(value for value in values if not re.search(rf"(?<![\w-]){value}(?![\w-])", told))


def type_endless(shell, command):
    """Until it has said something, and then the key that ends it."""
    said, status = shell.type(f"timeout --preserve-status -s INT 2 script -qec '{command}' /dev/null")
    return "" if said and status in (0, 130) else f"exit {status}: {said}"


def type_it(shell, command):
    """What was wrong with it, or nothing."""
    if re.match(r"(\w+=\S+ )?bench/|\./quickstart bench", command):
        return type_bench(command.replace("./quickstart bench", "bench/run"))
    if command.startswith("build/bench/"):
        program, *rounds = command.split()
        command = " ".join([str(build_folder() / program.removeprefix("build/")), *(rounds or ["1"])])
    if ENDLESS.match(command):
        return type_endless(shell, command)
    said, status = shell.type(command)
    expected = next((found for pattern, found in FINDS.items() if re.match(pattern, command)), (0,))
    if status in expected or status == 2 and is_mentioned(command, said):
        return ""
    return f"exit {status}: {said.strip()}"


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_text_says_is_typed(shell, name):
    shell.type("test -e hosts.txt || printf 'barge1 10.10.10.101\\nbarge2 10.10.10.102\\n' > hosts.txt")
    failures = []
    for line, command in commands_of(name):
        if " " not in command or not PROGRAM.match(command) or any(re.match(known, command) for known in ELSEWHERE):
            continue
        for variant in variants(command):
            failure = type_it(shell, variant)
            if failure:
                failures.append(f"{name}, line {line}: {variant}: {failure}")
    assert not failures, "\n".join(failures)


def test_what_is_typed_elsewhere_is():
    commands = [command for name in TEXTS for _, command in commands_of(name) if PROGRAM.match(command)]
    for pattern, (file, words) in ELSEWHERE.items():
        assert words in (TOP / file).read_text(encoding="utf-8"), file
        assert any(re.match(pattern, command) for command in commands), pattern
