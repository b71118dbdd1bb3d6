# SPDX-License-Identifier: MIT
"""An ovltund that a real systemd runs, as the package installs it."""
import shutil

from lab.daemon import Daemon
from lab.net import wait_for


class Service(Daemon):
    """ovltund.service, or with another @name ovltund@name.service."""

    def __init__(self, host, text, machine, name="peers"):
        super().__init__(host, text, name, start=False)
        self.machine = machine
        self.unit = "ovltund.service" if name == "peers" else f"ovltund@{name}.service"
        self.config = machine.path(f"/etc/ovltun/{name}.conf")
        self.config.parent.mkdir(mode=0o700, exist_ok=True)
        self.write(text)

    def systemctl(self, verb, *options):
        return self.machine.run(["systemctl", verb, *options, self.unit])

    def start(self, seconds=10):
        self.systemctl("start")

    def restart(self):
        self.systemctl("restart")

    def stop(self, sig=15):
        self.systemctl("stop")

    def ctl(self, *argv, **kwargs):
        return self.machine.run(["ovlctl", "-i", self.config.stem, *argv], **kwargs)

    def prop(self, name):
        return self.machine.show(self.unit, name)

    @property
    def pid(self):
        """As the machine counts."""
        return int(self.prop("MainPID"))

    @property
    def helper(self):
        [child] = self.machine.path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(child)

    def status(self, pid, key):
        text = self.machine.path(f"/proc/{pid}/status").read_text()
        return next(line.split()[1:] for line in text.splitlines() if line.startswith(f"{key}:"))

    def drop_in(self, text):
        folder = self.machine.path(f"/etc/systemd/system/{self.unit}.d")
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(text)
        self.machine.run("systemctl daemon-reload")

    def active(self, seconds=15):
        wait_for(lambda: self.prop("ActiveState") == "active" and self.prop("SubState") == "running", seconds,
                 f"{self.unit} to run")

    @property
    def log(self):
        return self.machine.journal(self.unit)

    def says(self, text, times=1):
        """The journal may be behind what systemctl waits for."""
        wait_for(lambda: self.log.count(text) >= times, 10, f"the journal to have {text}")

    def close(self):
        # It ends with its machine.
        if self in self.host.daemons:
            self.host.daemons.remove(self)
        shutil.rmtree(self.folder, ignore_errors=True)
