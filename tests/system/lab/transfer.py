# SPDX-License-Identifier: MIT
"""A TCP stream of random bytes from one container to another."""
from lab.net import LabError

SINK = """
import hashlib, socket
s = socket.create_server(("::", 5001), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
c, _ = s.accept()
h, n = hashlib.sha256(), 0
while data := c.recv(1 << 20):
    h.update(data)
    n += len(data)
print(n, h.hexdigest())
"""
SOURCE = """
import hashlib, os, socket
s = socket.create_connection(("{address}", 5001))
h = hashlib.sha256()
for n in range({megabytes}):
    data = os.urandom(1_000_000)
    h.update(data)
    s.sendall(data)
s.close()
print({megabytes} * 1_000_000, h.hexdigest())
"""


def transfer(sender, receiver, address, megabytes):
    """Sends so many MB by TCP; length and checksum at both ends."""
    sink = receiver.popen(["/usr/bin/python3", "-c", SINK])
    if sink.stdout.readline() != "up\n":
        raise LabError("no receiver for the stream")
    sent = sender.run(["/usr/bin/python3", "-c", SOURCE.format(address=address, megabytes=megabytes)], timeout=120)
    return sent.split(), sink.communicate(timeout=60)[0].split()
