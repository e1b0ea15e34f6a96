"""`wsicomp help`: print the page of a command."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.cli.commands import SUMMARIES, Command, no_command
from wsicomp.cli.help_pages import page_of, terminal_width
from wsicomp.cli.text import show
from wsicomp.options import argument, option

_EPILOG = """\
examples:
  wsicomp help convert
      show what is used every day, as `wsicomp convert --help` does
  wsicomp help --all convert
      show every option, as `wsicomp convert --help-all` does
  wsicomp help batch status
      show the page of a command of two words
"""


@dataclass(frozen=True, kw_only=True)
class HelpOptions:
    """Arguments of `wsicomp help`."""

    command: tuple[str, ...] = argument("the command; by default all are listed", ())
    all: bool = option(False, "show every option")


def run_help(options: HelpOptions) -> int:
    """Print what a command does, with its arguments, options and examples."""
    words = options.command
    if words and " ".join(words) not in SUMMARIES:
        raise no_command(words)
    show(page_of(words, terminal_width(), options.all))
    return 0


COMMANDS = (Command("help", (HelpOptions,), run_help, epilog=_EPILOG),)
