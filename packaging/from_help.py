#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fills in what ovlctl itself says of its commands: from_help.py OVLCTL TEMPLATE OUT.

The table in ctl/ovlctl.c is where a command's words stand. The man page and the
completions take them from `ovlctl help`, so that no list of commands is kept twice:

    @MDOC@                 the commands as a part of ovlctl(8)
    @CASES@                a case of bash's and zsh's for each
    @SUMMARIES@, @FISH@    lines of zsh's and fish's
    @NAMES@                their names
"""
import pathlib
import re
import subprocess
import sys


class Command:
    def __init__(self, name, text):
        usage, self.summary, *self.details = text.rstrip("\n").split("\n")
        prefix = f"usage: ovlctl {name}"
        if not usage.startswith(prefix):
            raise SystemExit(f"ovlctl help {name}: expected \"{prefix}\", not \"{usage}\"")
        self.name, self.arguments = name, usage[len(prefix):].strip()
        self.forms = [form.strip() for form in re.split(r"(?:^| )\|(?: |$)", self.arguments)]
        # Of the commands that are one of several, the first word; of every form what stands in place of one.
        self.verbs = [form.split()[0] for form in self.forms if re.match(r"[a-z][a-z-]*(\s|$)", form)]
        stated = [line for line in self.details if re.match(r"  [a-z-]", line)]
        self.options = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join([self.arguments, *stated]))))
        # "-c FILE" of the usage, "--follow, -f" in its line; what a line goes on to tell is none.
        told = " ".join([self.arguments, *(line.strip().split("  ")[0] for line in stated)])
        self.letters = sorted(set(re.findall(r"(?<![\w-])-[a-z](?![\w-])", told)))
        self.words = re.findall(r"(?<=\|)[a-z][a-z-]+(?=[\s\]|]|$)", self.arguments)
        if "SETTING" in self.arguments:
            self.words += [line.split()[0] for line in stated if line.lstrip()[0] != "-"]
        kinds = re.findall(r"[A-Z]{3,}", self.arguments)
        self.kinds = [kind for kind in ("PEER", "NETWORK") if kind in kinds]
        if {"FILE", "HOSTS", "DIR", "FOLDER", "PATH"} & set(kinds):
            self.kinds.append("FILE")


def read_commands(ovlctl):
    def ask(*words):
        return subprocess.run([ovlctl, *words], check=True, stdout=subprocess.PIPE, text=True).stdout

    names = re.findall(r"^  ([a-z][a-z-]*) ", ask("help"), re.MULTILINE)
    return [Command(name, ask("help", name)) for name in names]


def escape(text):
    """For mdoc: a backslash is itself, and no line is a request."""
    text = text.replace("\\", "\\e").replace("…", "\\[u2026]").replace("—", "\\(em")
    return re.sub(r"^([.'])", r"\\&\1", text)


def mdoc(commands):
    lines = []
    for command in commands:
        lines.append(f".Ss {command.name}")
        lines += [".Bd -literal -compact"]
        for form in (command.forms if command.verbs else [command.arguments]):
            lines.append(escape(f"ovlctl {command.name} {form}".rstrip()))
        lines += [".Ed", ".Pp", escape(command.summary[0].upper() + command.summary[1:]) + "."]
        if command.details:
            lines += [".Bd -literal -offset Ds", *map(escape, command.details), ".Ed"]
    return "\n".join(lines)


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def shell_cases(commands):
    return "\n".join(f"\t{c.name})\n\t\tverbs={quote(' '.join(c.verbs))}\n"
                     f"\t\twords={quote(' '.join(dict.fromkeys(c.words + c.letters + c.options)))}\n"
                     f"\t\tkinds={quote(' '.join(c.kinds))}\n\t\t;;" for c in commands)


def zsh_summaries(commands):
    return "\n".join("\t\t" + quote(f"{c.name}:{c.summary}") for c in commands)


def fish(commands):
    lines = []
    for c in commands:
        seen = f"-n '__ovlctl_command {c.name}'"
        lines.append(f"complete -c ovlctl -n __ovlctl_no_command -a {c.name} -d {quote(c.summary)}")
        if c.verbs:
            lines.append(f"complete -c ovlctl -n '__ovlctl_verb {c.name}' -a {quote(' '.join(c.verbs))}")
        if c.words:
            lines.append(f"complete -c ovlctl {seen} -a {quote(' '.join(dict.fromkeys(c.words)))}")
        lines += [f"complete -c ovlctl {seen} -l {option[2:]}" for option in c.options]
        lines += [f"complete -c ovlctl {seen} -s {letter[1:]}" for letter in c.letters]
        if "FILE" in c.kinds:
            lines.append(f"complete -c ovlctl {seen} -F")
        lines += [f"complete -c ovlctl {seen} -a '(__ovlctl_names {kind.lower()}s)'"
                  for kind in c.kinds if kind != "FILE"]
    return "\n".join(lines)


def main(ovlctl, template, out):
    commands = read_commands(ovlctl)
    if not commands:
        raise SystemExit("ovlctl help: no commands found")
    parts = {"@MDOC@": mdoc, "@CASES@": shell_cases, "@SUMMARIES@": zsh_summaries, "@FISH@": fish,
             "@NAMES@": lambda all_: " ".join(c.name for c in all_)}
    text = pathlib.Path(template).read_text(encoding="utf-8")
    for mark, make in parts.items():
        if mark in text:
            text = text.replace(mark, make(commands))
    pathlib.Path(out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
