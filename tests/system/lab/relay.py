# SPDX-License-Identifier: MIT
"""A UDP relay on the underlay, for what the kernel here cannot do: reorder, duplicate, record and replay.

It runs in the underlay's namespace as a process of its own and is told its manners over a pipe.
"""
import json
import subprocess
import sys

ADDRESS = "10.10.10.250"

PROGRAM = r"""
import json, random, select, socket, sys
target = tuple(json.loads(sys.argv[1]))
front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
front.bind(("%s", 12345))
for option in (33, 32):
    front.setsockopt(socket.SOL_SOCKET, option, 64 << 20)
back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
back.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
back.bind(("%s", 0))
client = None
manners, held, recorded = {}, [], []
print("up", flush=True)

def forward(batch):
    for data in batch:
        for _ in range(2 if manners.get("duplicate") else 1):
            back.sendto(data, target)

while True:
    ready = select.select([front, back, sys.stdin], [], [], 0.5 if held else None)[0]
    if not ready and held:
        random.shuffle(held)
        forward(held)
        held = []
    if sys.stdin in ready:
        line = sys.stdin.readline()
        if not line:
            break
        order = json.loads(line)
        if "replay" in order:
            for _ in range(order["replay"]):
                for n, data in enumerate(recorded):
                    back.sendto(data, target)
                    if n %% 200 == 0:
                        select.select([], [], [], 0.004)
        else:
            manners = order
        print("done", flush=True)
    if front in ready:
        data, client = front.recvfrom(65535)
        if len(recorded) < manners.get("record", 0) and data[0] == 4:
            recorded.append(data)
        if manners.get("shuffle"):
            held.append(data)
            if len(held) >= manners["shuffle"]:
                random.shuffle(held)
                forward(held)
                held = []
        else:
            forward([data])
    if back in ready:
        data, _ = back.recvfrom(65535)
        if client:
            front.sendto(data, client)
""" % (ADDRESS, ADDRESS)


class Relay:
    """Stands between a client and @target; give its address to the client as the endpoint."""

    def __init__(self, lab, target, **manners):
        lab.net.run(f"ip addr add {ADDRESS}/24 dev underlay")
        self.process = lab.net.popen([sys.executable, "-c", PROGRAM, json.dumps(target)], stdin=subprocess.PIPE)
        assert self.process.stdout.readline() == "up\n"
        self.address = f"{ADDRESS}:12345"
        if manners:
            self.manners(**manners)

    def tell(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def manners(self, **manners):
        """shuffle=N, duplicate=True, record=N"""
        self.tell(manners)

    def replay(self, times):
        self.tell({"replay": times})
