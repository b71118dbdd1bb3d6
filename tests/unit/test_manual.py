#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual and the completions know every key, command and option that there is.

    test_manual.py TOP OVLTUND OVLCTL PAGE-OR-COMPLETION…
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys


def ask(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def sections_of(page):
    """The key column of each of the page's sections, those of its subsections too."""
    sections, name = {}, ""
    for line in page.splitlines():
        if line.startswith(".Sh "):
            name = line[4:].split(":")[0]
        elif line.startswith(".It "):
            sections.setdefault(name, set()).update(re.findall(r"Cm (\S+)", line))
    return sections


def keys_are_told(top, page):
    code = (top / "ctl" / "config_key.c").read_text()
    rows = re.findall(r'^\t\{ "(\w+)", SECTION_(\w+), (?:true|false),\s+(\w+), (\w+) \}', code, re.MULTILINE)
    if len(rows) < 40:
        yield "ctl/config_key.c: the keys are not where they are looked for"
    sections = sections_of(page)
    for key, section, reader, bridged_reader in rows:
        name = f"[{section}]"
        if (reader, bridged_reader) == ("NULL", "NULL"):
            if f"\\fB{key}\\fR" not in page:
                yield f"peers.conf(5): {key}, which is read over, is missing (docs/peers.conf.md)"
        elif key not in sections.get(name, ()):
            yield f"peers.conf(5): {name} {key} is missing (in a table of docs/peers.conf.md)"
    known = {key for key, _, _, _ in rows}
    for name, keys in sections.items():
        for key in sorted(keys - known) if name.startswith("[") else ():
            yield f"peers.conf(5): {name} {key} is no key (docs/peers.conf.md)"


def options_are_told(text, page, where):
    # A hyphen of an option is a hyphen in mdoc's arguments.
    told = set(re.findall(r"(?<=Fl )-?[\w-]+", page)) | {o[1:] for o in re.findall(r"(?<![\w-])--?[a-z][\w-]*", page)}
    for option in sorted(set(re.findall(r"(?<![\w-])-(-[a-z][\w-]*|[a-zA-Z])\b", text))):
        if option not in told:
            yield f"{where}: -{option} is missing"


def commands_are_told(ovlctl, texts):
    names = re.findall(r"^  ([a-z][a-z-]*) ", ask(ovlctl, "help"), re.MULTILINE)
    if len(names) < 9:
        yield "ovlctl help: the commands are not where they are looked for"
    for name in names:
        usage, *details = ask(ovlctl, "help", name).splitlines()
        stated = [line for line in details if line.startswith("  -")]
        for where, text in texts.items():
            part = re.search(COMMAND_IN[where].format(name), text, re.DOTALL | re.MULTILINE)
            if not part:
                yield f"{where}: the command {name} is missing"
                continue
            for option in sorted(set(re.findall(r"(?<![\w-])--([a-z][\w-]*)", " ".join([usage, *stated])))):
                if not re.search(rf"(--|-l ){option}\b", part[0]):
                    yield f"{where}: {name} --{option} is missing"
            for letter in sorted(set(re.findall(r"(?<![\w-])-([a-z])(?![\w-])", usage))):
                if not re.search(rf"(?<![\w-])(-|-s ){letter}\b", part[0]):
                    yield f"{where}: {name} -{letter} is missing"
            for verb in re.findall(r"(?:ovlctl \w+ |\| )([a-z][a-z-]*)", usage):
                if not re.search(rf"\b{verb}\b", part[0]):
                    yield f"{where}: {name} {verb} is missing"


# Where each tells of a command.
COMMAND_IN = {
    "ovlctl.8": r"^\.Ss {0}$.*?(?=^\.S[sh])",
    "ovlctl": r"^\t{0}\)$.*?;;",
    "_ovlctl": r"^\t{0}\)$.*?;;",
    "ovlctl.fish": r"^complete -c ovlctl -n __ovlctl_no_command -a {0} .*?(?=^complete -c ovlctl -n __ovlctl_no_command|\Z)",
}


def bash_completes(file):
    """What bash offers for a line, as its user would get it."""
    rows = (("ovlctl ", "reload"), ("ovlctl fdb ", "add"), ("ovlctl -i nobody peer ", "remove"),
            ("ovlctl show --", "--json"), ("ovlctl peer set someone allo", "allowed-ips"), ("ovlctl help ro", "route"),
            ("ovlctl capture -", "-w"), ("ovlctl top -", "-d"), ("ovlctl events -", "-f"), ("ovlctl doctor -", "-c"))
    for line, wanted in rows:
        words = line.split(" ")
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ovlctl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        offered = ask("bash", "-c", script, "bash", file, *words).split("\n")
        if wanted not in offered:
            yield f"bash does not offer {wanted} for \"{line}\", but {offered}"


def shells_read(files, ovlctl):
    for shell, name, options in (("bash", "ovlctl", ["-n"]), ("zsh", "_ovlctl", ["-n"]), ("fish", "ovlctl.fish", ["-n"])):
        if not shutil.which(shell):
            print(f"skipped: no {shell} here to read its completion")
            continue
        result = subprocess.run([shell, *options, files[name]], stderr=subprocess.PIPE, text=True)
        if result.returncode or result.stderr:
            yield f"{shell} does not read {name}: {result.stderr.strip()}"
    if shutil.which("bash"):
        yield from bash_completes(files["ovlctl"])
    if shutil.which("fish"):
        script = f"source {files['ovlctl.fish']}; complete -C 'ovlctl fdb '; complete -C 'ovlctl '; complete -C 'ovlctl -i x show --'"
        path = f"{pathlib.Path(ovlctl).resolve().parent}:{os.environ['PATH']}"
        told = ask("fish", "-N", "-c", script, env=dict(os.environ, PATH=path))
        offered = {line.split("\t")[0] for line in told.splitlines()}
        for wanted in ("add", "reload", "--json"):
            if wanted not in offered:
                yield f"fish does not offer {wanted}"


def pages_are_sound(pages):
    for page in pages:
        if shutil.which("mandoc"):
            result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], stdout=subprocess.PIPE, text=True)
            yield from result.stdout.splitlines()
        else:
            print("skipped: no mandoc here to look for faults in the pages")
        if shutil.which("man") and shutil.which("groff"):
            result = subprocess.run(["man", "--warnings", "-l", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                    text=True, env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="100"))
            yield from result.stderr.splitlines()
        else:
            print("skipped: no man and groff here to typeset the pages")


def main(top, ovltund, ovlctl, *paths):
    files = {pathlib.Path(path).name: path for path in paths}
    texts = {name: pathlib.Path(path).read_text(encoding="utf-8") for name, path in files.items()}
    faults = [*keys_are_told(top, texts["peers.conf.5"]),
              *options_are_told(ask(ovltund, "--help"), texts["ovltund.8"], "ovltund(8)"),
              *options_are_told("-i --socket --version --help", texts["ovlctl.8"], "ovlctl(8)"),
              *commands_are_told(ovlctl, {name: texts[name] for name in COMMAND_IN}),
              *shells_read(files, ovlctl), *pages_are_sound([files[n] for n in ("ovltund.8", "ovlctl.8", "peers.conf.5")])]
    print("\n".join(faults) or "the manual and the completions know all there is")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), *sys.argv[2:]))
