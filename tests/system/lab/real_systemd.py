# SPDX-License-Identifier: MIT
"""A host's own systemd, a real one: process 1 of a PID namespace, with a journal and units and no more.

Its root directory is this machine's under an overlay that takes all that is written; its network is the host's.
All mounts are in its own mount namespace, so that nothing is left but a cgroup when it is killed.
"""
import os
import pathlib
import shutil
import subprocess

from lab.net import PREFIX, LabError, new_folder, sh, wait_for

SYSTEMD = "/lib/systemd/systemd"
# $1: a folder for the layers, $2: the host's name.
BOOT = """
set -e
mount -t tmpfs ovltun-test "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay ovltun-test -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
# What is not of a namespace is not its to change.
for place in proc/sys sys; do
	mount --bind $place $place
	mount -o remount,bind,ro $place
done
mount -t cgroup2 cgroup sys/fs/cgroup
for place in run tmp dev; do
	mount -t tmpfs ovltun-test $place
done
mkdir dev/net dev/pts dev/shm
node() {
	mknod -m 666 dev/$1 c $2 $3
}
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9; node tty 5 0; node net/tun 10 200
node refused 1 11
ln -s pts/ptmx dev/ptmx
# None of this machine's services; and nobody looks for pages.
rm -rf etc/systemd/system lib/systemd/system/*.wants lib/systemd/system-generators etc/fstab \
	etc/ovltun var/lib/ovltun usr/sbin/policy-rc.d var/lib/man-db/auto-update
wants=etc/systemd/system/sysinit.target.wants
mkdir -p $wants etc/systemd/journald.conf.d var/lib/systemd mnt
for unit in systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service; do
	ln -s /lib/systemd/system/$unit $wants/
done
ln -s /dev/null etc/systemd/system/systemd-journald-audit.socket
printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\n' >etc/systemd/journald.conf.d/lab.conf
hostname "$2"
pivot_root . mnt
cd /
umount -l mnt
exec env -i container=ovltun-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
	/lib/systemd/systemd --log-target=journal --unit=multi-user.target
"""
# In a cgroup of its own, $1, before that is the root of what it sees; the rest is BOOT's.
APART = """
echo $$ >"$1/cgroup.procs"
shift
exec unshare --mount --propagation private --uts --ipc --pid --cgroup --fork --kill-child bash -c "$@"
"""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "cat",
               "SYSTEMD_COLORS": "0", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}


class CannotBoot(LabError):
    """What this machine lacks for it."""


def cgroup_roots():
    """Where a cgroup2 is mounted: one place, or none."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    return [pathlib.Path(place) for _, place, kind, *_ in mounts if kind == "cgroup2"][:1]


def remove_cgroup(cgroup):
    """With those in it, whose processes have been killed."""
    def remove():
        try:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                os.rmdir(folder)
        except OSError:
            return False
        return True

    wait_for(remove, 10, f"the processes of {cgroup} to end")


class RealSystemd:
    """Boots it; runs commands in it; @path is where its files are seen from here."""

    def __init__(self, host):
        self.host = host
        self.process = self.cgroup = self.init = None
        missing = [tool for tool in (SYSTEMD, "systemctl", "journalctl", "unshare", "pivot_root")
                   if not shutil.which(tool)]
        if missing:
            raise CannotBoot(f"there is no {', '.join(missing)}")
        self.folder = new_folder()
        try:
            self.boot()
        except BaseException:
            self.close()
            raise

    def boot(self):
        (self.folder / "layers").mkdir()
        roots = cgroup_roots()
        if not roots:
            raise CannotBoot("no cgroup2 is mounted")
        self.cgroup = roots[0] / f"{PREFIX}{self.host.lab.id}-{self.host.name}"
        try:
            self.cgroup.mkdir()
        except OSError as error:
            raise CannotBoot(f"no cgroup can be made: {error}") from error
        log = self.folder / "boot"
        self.process = self.host.popen(["bash", "-c", APART, "bash", self.cgroup, BOOT, "bash",
                                        self.folder / "layers", self.host.name],
                                       stdout=log.open("w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        wait_for(lambda: self.process.poll() is not None or self.is_systemd(), 20, "systemd to begin")
        if self.process.poll() is not None:
            raise CannotBoot(f"systemd was not started: {log.read_text().strip()[-300:]}")
        wait_for(lambda: self.run("systemctl is-system-running", check=False).strip() == "running", 20,
                 "systemd to be up")

    def is_systemd(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            self.init = int(children.read_text())
            return (pathlib.Path(f"/proc/{self.init}/comm").read_text() == "systemd\n"
                    and self.path("/run/systemd/private").exists())
        except (OSError, ValueError):
            return False

    def path(self, name):
        return pathlib.Path(f"/proc/{self.init}/root{name}")

    def argv(self, command):
        rest = command.split() if isinstance(command, str) else [str(c) for c in command]
        return ["nsenter", f"--target={self.init}", "--all", *rest]

    def run(self, command, **kwargs):
        return sh(self.argv(command), env=ENVIRONMENT, **kwargs)

    def try_run(self, command):
        """Its exit status, and what it said."""
        done = subprocess.run(self.argv(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False, env=ENVIRONMENT)
        return done.returncode, done.stdout

    def show(self, unit, prop):
        return self.run(["systemctl", "show", "--value", "--property", prop, unit]).strip()

    def journal(self, unit, *options):
        return self.run(["journalctl", "--no-pager", "-o", "cat", "-u", unit, *options])

    def close(self):
        if self.process:
            # With it process 1, and with that all that is in its namespace.
            self.host.stop(self.process, 9)
            self.process = None
        if self.cgroup and self.cgroup.exists():
            remove_cgroup(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)
