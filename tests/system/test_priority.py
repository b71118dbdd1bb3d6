# SPDX-License-Identifier: MIT
"""With which priority the workers run: realtime where they may, and not in a flood."""
import os
import pathlib
import subprocess

from lab import Daemon, wait_for
from lab.daemon import build_folder

# Small datagrams to where nobody listens, as fast as one process can, for a bounded time.
FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for _ in range(100):
        try:
            s.sendto(b"x" * 64, (sys.argv[1], 9))
        except OSError:
            pass
"""


def policies(daemon):
    """Of the workers' threads, and of the control thread's."""
    found = {"ovltund/worker": set(), "ovltund": set()}
    for task in pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if name in found:
            found[name].add(os.sched_getscheduler(int(task.name)))
    return found["ovltund/worker"], found["ovltund"]


def set_key(daemon, value):
    lines = [line for line in daemon.config.read_text().splitlines() if not line.startswith("Realtime")]
    if value:
        lines.insert(lines.index("[Interface]") + 1, f"Realtime = {value}")
    daemon.write("\n".join(lines) + "\n")


def test_workers_have_realtime_priority_where_the_file_says_so(overlay):
    daemon = overlay.daemons[0]
    set_key(daemon, "yes")
    daemon.ctl("reload")
    assert policies(daemon) == ({os.SCHED_RR}, {os.SCHED_OTHER})
    assert daemon.show()["device"]["realtime"] is True
    set_key(daemon, "no")
    daemon.ctl("reload")
    assert policies(daemon) == ({os.SCHED_OTHER}, {os.SCHED_OTHER})
    assert daemon.show()["device"]["realtime"] is False
    set_key(daemon, "")
    daemon.ctl("reload")
    workers = daemon.show()["device"]["workers"]
    assert daemon.show()["device"]["realtime"] is (len(os.sched_getaffinity(0)) > workers)
    set_key(daemon, "often")
    done = subprocess.run([build_folder() / "ctl" / "ovltund", "--check", "-c", daemon.config],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and 'Realtime "often": expected yes or no' in done.stdout + done.stderr


def test_a_flood_of_small_packets_gets_no_realtime_priority(overlay):
    a, b = overlay.containers
    for daemon in overlay.daemons:
        set_key(daemon, "yes")
        daemon.ctl("reload")
    a.ping(b.address)
    flood = a.popen(["/usr/bin/python3", "-c", FLOOD, b.address, "10"])
    wait_for(lambda: os.SCHED_OTHER in policies(overlay.daemons[0])[0], 9, "the flood to lose the priority")
    a.stop(flood)
    wait_for(lambda: a.ping(b.address) and policies(overlay.daemons[0])[0] == {os.SCHED_RR}, 5,
             "the priority to come back")


def test_without_the_privilege_all_goes_on(overlay):
    a, b = overlay.containers
    old = overlay.daemons[0]
    set_key(old, "yes")
    text = old.config.read_text()
    old.stop()
    daemon = Daemon(overlay.lab[0], text, io=old.io, start=False)
    plain = daemon.host.popen

    def weak(argv, **options):
        return plain(["setpriv", "--bounding-set=-sys_nice,-sys_resource", "--inh-caps=-sys_nice,-sys_resource", "prlimit",
                      "--rtprio=0:0", *argv], **options)

    daemon.host.popen = weak
    try:
        daemon.start()
    finally:
        daemon.host.popen = plain
    assert "no realtime priority (Operation not permitted)" in daemon.log
    assert policies(daemon)[0] == {os.SCHED_OTHER} and daemon.show()["device"]["realtime"] is False
    daemon.attached()
    wait_for(lambda: a.ping(b.address), 10, "a ping")
    daemon.close()
