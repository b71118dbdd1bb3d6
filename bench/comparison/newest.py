# SPDX-License-Identifier: MIT
"""The newest wireguard-go and Nebula that Debian has, for a fair comparison.

They are unpacked into a cache folder and run from there. apt gets lists, state and cache of
its own: the system's sources and packages stay as they are.
"""
import os
import pathlib
import shutil
import subprocess

from lab import LabError

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ovltun-bench"
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = ("wireguard-go", "nebula")


def program(name):
    """The cached one's path, or None."""
    path = CACHE / "root" / "usr" / "bin" / name
    return str(path) if path.exists() else None


def apt(folder, *argv):
    options = {
        "Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists", "Dir::State::status": "/dev/null", "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root", "Acquire::Languages": "none", "APT::Architecture": architecture(),
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items()), *argv]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise LabError(f"apt-get {' '.join(argv)}: {done.stdout.strip()}")


def architecture():
    return subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def fetch(say):
    """Downloads and unpacks all PACKAGES; what was cached before is replaced."""
    folder = CACHE / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} sid main\n", encoding="utf-8")
    for old in folder.glob("*.deb"):
        old.unlink()
    apt(folder, "update")
    apt(folder, "download", *PACKAGES)
    shutil.rmtree(CACHE / "root", ignore_errors=True)
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, CACHE / "root"], check=True)
        say(f"fetched {package.name} into {CACHE}")
