"""Write the manual page wsicomp.1 from what the commands declare.

scripts/man [FILE]              # wsicomp.1 by default; read it with `man ./wsicomp.1`
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from wsicomp.cli.commands import Command, all_commands
from wsicomp.cli.help_pages import EXAMPLES, PURPOSE
from wsicomp.version import SOFTWARE


def main() -> int:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "wsicomp.1")
    path.write_text("\n".join(man_page()) + "\n", "utf-8")
    print(f"wrote {path}")
    return 0


def man_page() -> Iterator[str]:
    """The page, line by line, in roff with the macros of man(7)."""
    yield f'.TH WSICOMP 1 "" "{SOFTWARE}" "User Commands"'
    yield from (".nh", ".ad l")  # neither words cut nor lines stretched
    yield from (".SH NAME", r"wsicomp \- make whole-slide images small")
    yield from (".SH SYNOPSIS", ".nf", *(roff(command.usage) for command in all_commands()), ".fi")
    yield from (".SH DESCRIPTION", roff(PURPOSE))
    yield from (".SH COMMANDS",)
    for command in all_commands():
        yield from command_part(command)
    yield from verbatim("EXAMPLES AND EXIT CODES", EXAMPLES, ".SH")


def command_part(command: Command) -> Iterator[str]:
    """What stands about one command."""
    yield f'.SS "wsicomp {command.name}"'
    for number, paragraph in enumerate(command.description.strip().split("\n\n")):
        yield from ([".PP"] if number else [])
        yield roff(" ".join(paragraph.split()))
    for group, options in command.groups.items():
        yield from (".PP", rf"\fI{roff(group)}\fR")
        for option in options:
            yield from (".TP", rf"\fB{roff(command.spelled(option))}\fR", roff(command.meaning(option)))
    if command.epilog:
        yield from verbatim("", command.epilog, ".PP")


def verbatim(title: str, text: str, macro: str) -> Iterator[str]:
    """Lines that stay as they are."""
    yield from (f"{macro} {title}".rstrip(), ".nf", *map(roff, text.rstrip().split("\n")), ".fi")


def roff(text: str) -> str:
    """A text in which nothing means anything to roff."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    sys.exit(main())
