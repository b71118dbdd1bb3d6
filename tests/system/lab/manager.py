# SPDX-License-Identifier: MIT
"""The part of a service manager: hears a daemon, keeps its descriptors, gives them to the next.

Written from sd_notify(3) and sd_listen_fds(3). What a manager should not do it does when told to.
"""
import array
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import threading

from lab.daemon import Daemon
from lab.net import LabError, wait_for

# Makes the descriptors given those that the daemon expects, from 3 on, and is it.
EXEC = """
n=3
for fd in $KEPT; do
	eval "exec $n<&$fd $fd<&-"
	n=$((n + 1))
done
unset KEPT n
LISTEN_PID=$$ exec "$@"
"""
KCMP = 312  # of x86-64
FIRST = 200  # descriptors are passed from here on, out of the way of their places


def same_file(a, b):
    """Whether two descriptors are of one open file: a manager keeps one of them."""
    return ctypes.CDLL(None).syscall(KCMP, os.getpid(), os.getpid(), 0, a, b) == 0


class Manager:
    def __init__(self, path):
        self.path = path
        self.heard = []
        self.store = []  # (name, descriptor)
        self.keeps_for_ever = False  # does not let go of what it is told to
        self.barriers = True
        self.held = []  # barriers that are not answered
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0.2)
        self.open = True
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def close(self):
        self.open = False
        self.thread.join()
        self.socket.close()
        self.forget()
        for fd in self.held:
            os.close(fd)

    def forget(self):
        """What happens to the store when a service is stopped."""
        for _, fd in self.store:
            os.close(fd)
        self.store = []

    def names(self):
        return [name for name, _ in self.store]

    def _listen(self):
        while self.open:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
            except TimeoutError:
                continue
            fds = array.array("i")
            for level, kind, body in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(body[:len(body) - len(body) % fds.itemsize])
            self._take(data.decode(), list(fds))

    def _take(self, text, fds):
        self.heard.append(text)
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        name = fields.get("FDNAME", "stored")
        if fields.get("FDSTORE") == "1":
            for fd in fds:
                if not any(same_file(fd, kept) for _, kept in self.store):
                    self.store.append((name, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST)))
                os.close(fd)
            return
        if fields.get("FDSTOREREMOVE") == "1" and not self.keeps_for_ever:
            for kept, fd in self.store:
                if kept == name:
                    os.close(fd)
            self.store = [(kept, fd) for kept, fd in self.store if kept != name]
        for fd in fds:
            if fields.get("BARRIER") == "1" and not self.barriers:
                self.held.append(fd)
            else:
                os.close(fd)


class Managed(Daemon):
    """A daemon that a manager starts, restarts and stops."""

    def __init__(self, host, text, **kwargs):
        self.manager = None
        super().__init__(host, text, **{**kwargs, "start": False})
        self.manager = Manager(self.folder / "notify")
        if kwargs.get("start", True):
            self.start()

    def launch(self):
        """Starts it, and does not wait for anything."""
        kept = list(self.manager.store)
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.manager.path)}
        argv = [self.build / "ctl" / "ovltund", "-c", self.config, f"--io={self.io}", "--run-dir", self.folder,
                "--uapi-dir", self.folder, *self.options]
        if kept:
            environment.update(LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=":".join(name for name, _ in kept),
                               KEPT=" ".join(str(fd) for _, fd in kept))
            argv = ["bash", "-c", EXEC, "bash", *argv]
        self.process = self.host.popen(argv, stdout=open(self.log_path, "a", encoding="utf-8"),
                                       stderr=subprocess.STDOUT, env=environment,
                                       pass_fds=[fd for _, fd in kept])

    def start(self, seconds=10):
        self.launch()
        wait_for(lambda: self.process.poll() is not None or self.answers(), seconds, "ovltund to answer")
        if self.process.poll() is not None:
            raise LabError(f"ovltund ended with {self.process.returncode}: {self.log}")

    def restart(self, sig=signal.SIGUSR2):
        """As "systemctl restart" does, or (SIGKILL) a crash and Restart=."""
        self.stop(sig)
        self.start()

    def close(self):
        super().close()
        if self.manager:
            self.manager.close()
            self.manager = None
