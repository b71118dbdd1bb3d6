# SPDX-License-Identifier: MIT
"""A real Docker engine in a host's namespace.

It is started by nsenter with a mount namespace and a /run of its own, so that
several engines live side by side. Containers come from one image made of Debian's
packages, without a registry.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

from lab.net import PREFIX, LabError, new_folder, sh, wait_for

IMAGE = "lab"
# The engine's own client: another one that comes first in the path may be newer than the engine.
CLIENT = "/usr/bin/docker" if pathlib.Path("/usr/bin/docker").exists() else "docker"


def available():
    return shutil.which("dockerd") is not None and shutil.which("docker") is not None


def libraries(program):
    """The shared libraries of a program, its loader included."""
    found = set()
    for line in sh(["ldd", program], check=False).splitlines():
        match = re.search(r"(/\S+) \(0x", line)
        if match:
            found.add(match.group(1))
    return found


def image_tree(folder):
    """A root file system: busybox for everything, serf and iperf3 with their libraries."""
    root = pathlib.Path(folder)
    for name in ("bin", "etc", "proc", "sys", "tmp", "dev", "root"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    for applet in ("sh", "ping", "ip", "nc", "sleep", "cat", "sha256sum", "wc", "mkfifo", "mv", "rm", "tail", "dd", "head", "wget", "httpd", "arping", "ls", "env"):
        (root / "bin" / applet).symlink_to("busybox")
    for program in ("serf", "iperf3"):
        path = shutil.which(program)
        shutil.copy(path, root / "bin" / program)
        for library in libraries(path):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return root


class Inside:
    """Programs of the host's in the network of a container that runs."""

    def __init__(self, host, pid):
        self.host, self.prefix = host, ["nsenter", "-t", pid, "-n"]

    def run(self, command, **kwargs):
        return self.host.run([*self.prefix, *command], **kwargs)

    def popen(self, command, **kwargs):
        return self.host.popen([*self.prefix, *command], **kwargs)


class DockerEngine:
    def __init__(self, host, options=()):
        self.host = host
        self.folder = new_folder()
        self.options = list(options)
        self.address = f"unix://{self.folder}/docker.sock"
        self.process = None
        host.daemons.append(self)
        self.start()
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-{os.getpid()}-") as tree:
            image_tree(tree)
            self.host.run(["sh", "-c", f"tar -C {tree} -c . | {CLIENT} -H {self.address} import - {IMAGE} >/dev/null"],
                          timeout=120)

    def start(self):
        script = "mount -t tmpfs tmpfs /run && exec dockerd " + " ".join([
            f"--data-root {self.folder}/data", f"--exec-root {self.folder}/exec", f"-H {self.address}",
            f"--pidfile {self.folder}/pid", f"--bip 10.20{self.host.index}.0.1/24", *self.options])
        self.process = self.host.popen(["unshare", "-m", "sh", "-c", script],
                                       stdout=open(self.folder / "log", "a", encoding="utf-8"),
                                       stderr=subprocess.STDOUT)
        wait_for(lambda: self.process.poll() is not None or self.answers(), 60, "dockerd")
        if self.process.poll() is not None:
            raise LabError("dockerd ended: " + (self.folder / "log").read_text()[-2000:])

    def answers(self):
        """Asked without its client, whose start takes as much of a processor as the engine's own."""
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.settimeout(10)
                s.connect(str(self.folder / "docker.sock"))
                s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in s.recv(1000)
            except OSError:
                return False

    def docker(self, *argv, check=True, timeout=60):
        return self.host.run([CLIENT, "-H", self.address, *argv], check=check, timeout=timeout).strip()

    def network(self, name="ovl", bridge="ovl0", subnet="172.20.0.0/16", options=()):
        """The README's line: a gateway and a range of its own for each host."""
        third = 101 + self.host.index
        base = subnet.rsplit(".", 2)[0]
        return self.docker("network", "create", "--driver", "bridge", "--subnet", subnet,
                           "--ip-range", f"{base}.{third}.0/24", "--gateway", f"{base}.{third}.1",
                           "-o", f"com.docker.network.bridge.name={bridge}", *options, name)

    def container(self, name, *command, network="ovl", options=()):
        return self.docker("run", "-d", "--name", name, "--network", network, "--init=false", "--stop-timeout", "0", *options, IMAGE,
                           *(command or ("sleep", "100000")))

    def run(self, container, *command, check=True, timeout=60):
        return self.docker("exec", container, *command, check=check, timeout=timeout)

    def inside(self, container):
        return Inside(self.host, self.docker("inspect", "-f", "{{.State.Pid}}", container))

    def describe(self):
        return (self.folder / "log").read_text()[-4000:]

    def ping(self, container, address, *options):
        return " 0% packet loss" in self.run(container, "ping", "-c", "1", "-W", "2", *options, address, check=False)

    def ip(self, container, network="ovl"):
        return self.docker("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', container)

    def stop(self, sig=15):
        # Patience: an engine that is killed leaves its containerd behind.
        self.host.stop(self.process, sig, seconds=40)

    def close(self):
        for container in self.docker("ps", "-aq", check=False).split():
            if re.fullmatch(r"[0-9a-f]{12}", container):
                self.docker("rm", "-f", container, check=False)
        self.stop()
        if self in self.host.daemons:
            self.host.daemons.remove(self)
        # Layers stay mounted under the data root when the engine was killed.
        for line in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
            if line.split()[1].startswith(str(self.folder)):
                sh(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
