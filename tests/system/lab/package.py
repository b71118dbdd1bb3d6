# SPDX-License-Identifier: MIT
"""The Debian package of what is checked out here."""
import fcntl
import os
import pathlib
import shutil

from lab.net import sh

TOP = pathlib.Path(__file__).resolve().parents[3]
TOOLS = ("dpkg-buildpackage", "dh", "meson", "ninja")


def missing_tools():
    return [tool for tool in TOOLS if not shutil.which(tool)]


def build_package(folder):
    """Built in @folder by whichever process of a run is first; the others wait for it. Returns the .deb."""
    with open(folder / "package.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "package"
        if not done.exists():
            git = shutil.which("git") and (TOP / ".git").exists()
            status = ["git", "-C", TOP, "status", "--porcelain"] if git else ["true"]
            before = sh(status)
            sh([TOP / "packaging" / "build-deb", folder / "package.part"], timeout=300,
               env=dict(os.environ, DEB_BUILD_OPTIONS="noautodbgsym parallel=2"))
            assert sh(status) == before, "the build left something in the tree"
            (folder / "package.part").rename(done)
    [deb] = done.glob("*.deb")
    return deb
