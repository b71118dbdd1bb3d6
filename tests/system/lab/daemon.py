# SPDX-License-Identifier: MIT
"""An ovltund in a host's namespace."""
import json
import os
import pathlib
import shutil
import subprocess

from lab.net import LabError, new_folder, sh, wait_for


def build_folder():
    folder = os.environ.get("OVLTUN_BUILD")
    return pathlib.Path(folder) if folder else pathlib.Path(__file__).resolve().parents[3] / "build"


def keypair():
    """A private and a public key, by wg(8), which this project did not write."""
    private = sh("wg genkey").strip()
    return private, sh("wg pubkey", input=private + "\n").strip()


class Daemon:
    """Start it, wait until it answers, ask it, stop it.

    @text is the configuration; {…}_ placeholders are the caller's business. @build: another than the one under test.
    """

    # Of every daemon whose configuration does not say. OVLTUN_WORKERS=2: any test with two.
    workers = int(os.environ.get("OVLTUN_WORKERS", "1"))

    def __init__(self, host, text, name="peers", io="auto", options=(), start=True, build=None):
        self.host = host
        self.io = io
        self.options = list(options)
        self.build = build or build_folder()
        self.folder = new_folder()
        self.config = self.folder / f"{name}.conf"
        self.write(text)
        self.socket = self.folder / f"{name}.ctl"
        self.uapi = self.folder / f"{name}.sock"
        self.log_path = self.folder / "log"
        self.process = None
        host.daemons.append(self)
        if start:
            self.start()

    def write(self, text):
        if self.workers > 1 and "Workers" not in text:
            text = text.replace("[Interface]\n", f"[Interface]\nWorkers = {self.workers}\n", 1)
        self.config.write_text(text)
        self.config.chmod(0o600)

    @property
    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self, seconds=10):
        self.process = self.host.popen(
            [self.build / "ctl" / "ovltund", "-c", self.config, f"--io={self.io}",
             "--run-dir", self.folder, "--uapi-dir", self.folder, *self.options],
            stdout=open(self.log_path, "a", encoding="utf-8"), stderr=subprocess.STDOUT)
        wait_for(lambda: self.process.poll() is not None or self.answers(), seconds, "ovltund to answer")
        if self.process.poll() is not None:
            raise LabError(f"ovltund ended with {self.process.returncode}: {self.log}")

    def answers(self):
        return self.socket.exists() and self.ctl("show", "--json", check=False).startswith("{")

    def ctl(self, *argv, **kwargs):
        return self.host.run([build_folder() / "ctl" / "ovlctl", "--socket", self.socket, *argv], **kwargs)

    def show(self):
        return json.loads(self.ctl("show", "--json"))

    def peer(self, name):
        return next(p for p in self.show()["peers"] if p["name"] == name or p["public_key"] == name)

    def counters(self):
        """Drops and events by name."""
        reply = json.loads(self.ctl("show", "drops", "--json"))
        return {**reply["drops"], **reply["events"]}

    def drops(self, name):
        return self.counters()[name]

    def describe(self):
        """For the report of a failure: what was dropped, what there is (its beginning), what was said last."""
        told = []
        for argv in (("show", "drops"), ("show",), ("show", "neigh"), ("fdb", "list")):
            try:
                told.append(self.ctl(*argv, check=False, timeout=5)[:8000])
            except subprocess.TimeoutExpired:
                told.append("no answer\n")
        return "\n".join([*told, self.log[-4000:]])

    def wg(self, *argv, check=True):
        """wg(8) against the UAPI socket, which it looks for in one fixed folder."""
        script = 'mount -t tmpfs tmpfs /var/run && mkdir /var/run/wireguard && ln -s "$0" /var/run/wireguard/ && exec wg "$@"'
        return self.host.run(["unshare", "-m", "sh", "-c", script, self.uapi, *argv], check=check)

    def attached(self, network=0, seconds=10):
        wait_for(lambda: self.show()["networks"][network]["attached"], seconds, "the TAP to join its bridge")

    def stop(self, sig=15):
        if self.process:
            self.host.stop(self.process, sig)
            return self.process.returncode
        return None

    def close(self):
        self.stop()
        if self in self.host.daemons:
            self.host.daemons.remove(self)
        shutil.rmtree(self.folder, ignore_errors=True)
