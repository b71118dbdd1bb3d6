# SPDX-License-Identifier: MIT
"""Several hosts on one machine, for the system tests and the demonstration.

A Lab has an underlay (a bridge in a namespace of its own) and Hosts (a namespace
each, with an address on the underlay). A Host has bridges, and Containers on them
(a namespace each) or a real Docker engine. A Daemon is an ovltund in a Host's
namespace, a WireguardGo a stock peer with the same interface.

Names carry the process id, so that two runs do not meet; everything is removed on
close, on failure, and by `python3 -m lab.clean` after a run that was killed.
"""
from lab.net import Lab, Host, Container, LabError, wait_for
from lab.daemon import Daemon, keypair
from lab.docker import DockerEngine
from lab.wireguard_go import WireguardGo

__all__ = ["Lab", "Host", "Container", "LabError", "wait_for", "Daemon", "keypair", "DockerEngine", "WireguardGo"]
