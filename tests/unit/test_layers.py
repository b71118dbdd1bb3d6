#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What includes what: folders depend one way, and within crypto/ so do the files.

    test_layers.py TOP

A part is a .c file and its header. The linker sees that a folder does not use what it
must not; it does not see a circle within a folder, nor an include for a macro.
"""
import graphlib
import pathlib
import re
import sys

FOLDERS = {"crypto": {"crypto"}, "dataplane": {"crypto", "dataplane"},
           "ctl": {"crypto", "dataplane", "ctl"}}
INCLUDE = re.compile(r'^#include "(\w+)/(\w+)\.h"$', re.MULTILINE)


def main(top):
    faults = []
    parts = {}
    for folder, allowed in FOLDERS.items():
        files = sorted((top / folder).glob("*.[ch]"))
        if not files:
            faults.append(f"{folder}: no files found")
        for file in files:
            for to, part in INCLUDE.findall(file.read_text()):
                if to not in allowed:
                    faults.append(f"{folder}/{file.name} includes {to}/{part}.h")
                if folder == to == "crypto" and part != file.stem:
                    parts.setdefault(file.stem, set()).add(part)
    try:
        graphlib.TopologicalSorter(parts).prepare()
    except graphlib.CycleError as circle:
        faults.append("crypto/: a circle: " + " -> ".join(circle.args[1]))
    print("\n".join(faults) or "folders and the parts of crypto/ depend one way")
    return 1 if faults else 0


sys.exit(main(pathlib.Path(sys.argv[1])))
