#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes peers.conf(5) of docs/peers.conf.md: from_markdown.py PAGE.md OUT.

Knows the Markdown that page is written in, and refuses what it does not know: headings,
paragraphs, fenced text, lists, and tables of two or three columns whose first is a key.
"""
import pathlib
import re
import sys

HEAD = """\
.\\" Made from docs/peers.conf.md.
.Dd November 21, 2026
.Dt PEERS.CONF 5
.Os
.Sh NAME
.Nm peers.conf
.Nd configuration of ovltund
.Sh DESCRIPTION
"""
FILES = """\
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/ovltun/peers.conf
The file of
.Pa ovltund.service .
.It Pa /etc/ovltun/NAME.conf
That of
.Pa ovltund@NAME.service .
.El
"""
SEE_ALSO = """\
.Sh SEE ALSO
.Xr ovlctl 8 ,
.Xr ovltund 8 ,
.Xr wg 8
"""


def plain(text):
    """For roff: a backslash is itself, no line is a request, and what is not ASCII is named."""
    text = text.replace("\\", "\\e").replace("…", "\\[u2026]").replace("—", "\\(em").replace("–", "\\(en")
    text = text.replace("→", "\\(->").replace("×", "\\(mu")
    if not text.isascii():
        raise SystemExit(f"from_markdown.py: no roff for a character of: {text}")
    return re.sub(r"^([.'])", r"\\&\1", text)


def inline(text):
    """`code` in bold, **strong** in italics, [links](…) as their text."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    parts = re.split(r"(`[^`]*`|\*\*[^*]*\*\*)", text.replace("\\|", "|"))
    out = []
    for part in parts:
        if part.startswith("`"):
            out.append("\\fB" + plain(part[1:-1]).replace("-", "\\-") + "\\fR")
        elif part.startswith("**"):
            out.append("\\fI" + plain(part[2:-2]) + "\\fR")
        else:
            out.append(plain(part) if not out else part and plain("x" + part)[1:])
    return "".join(out)


def sentences(text):
    """A new sentence on a new line, as roff wants it."""
    lines = re.sub(r"(?<=[a-z)`][.:;]) (?=[A-Z`])", "\n", text).split("\n")
    return [inline(line) for line in lines]


def cells(row):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def table(rows):
    head, body = cells(rows[0]), [cells(row) for row in rows[2:]]
    yield ".Bl -tag -width Ds"
    for row in body:
        yield f".It {' , '.join('Cm ' + key for key in re.findall(r'`([^`]*)`', row[0]))}"
        yield from sentences(row[1][0].upper() + row[1][1:] + ("" if row[1].endswith(".") else "."))
        if len(row) > 2 and row[2]:
            yield ".br"
            yield inline(f"{head[2][0].upper()}{head[2][1:]}: {row[2]}.")
    yield ".El"


def blocks(text):
    """Paragraphs, headings, tables and fenced text, each as its lines."""
    block, fenced = [], False
    for line in text.split("\n"):
        if line.startswith("```"):
            fenced = not fenced
            block.append(line)
            if not fenced:
                yield block
                block = []
        elif fenced or line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def convert(text):
    after_heading = True
    for block in blocks(text):
        first = block[0]
        if first.startswith("# "):
            continue
        if first == "## Errors":
            yield FILES + ".Sh DIAGNOSTICS"
        elif first.startswith("## "):
            yield ".Sh " + plain(first[3:].upper())
        elif first.startswith("### "):
            yield ".Ss " + plain(first[4:])
        elif first.startswith("```"):
            yield from [".Bd -literal -offset indent", *map(plain, block[1:-1]), ".Ed"]
        elif first.startswith("|"):
            yield from table(block)
        elif re.match(r"- |\d+\. ", first):
            yield ".Bl -bullet"
            for item in re.split(r"\n(?:- |\d+\. )", "\n" + "\n".join(block))[1:]:
                yield from [".It", *sentences(" ".join(item.split()))]
            yield ".El"
        else:
            if not after_heading:
                yield ".Pp"
            yield from sentences(" ".join(block))
        after_heading = first.startswith("#")


def main(page, out):
    text = pathlib.Path(page).read_text(encoding="utf-8")
    pathlib.Path(out).write_text(HEAD + "\n".join(convert(text)) + "\n" + SEE_ALSO, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
