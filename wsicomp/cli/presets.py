"""`wsicomp presets`: list the shipped presets, or print one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from wsicomp.cli.commands import Command
from wsicomp.cli.text import say, show
from wsicomp.config import preset_file, preset_names
from wsicomp.options import argument

_EPILOG = """\
examples:
  wsicomp presets archive-lossless > mine.toml
      begin a preset of your own
  wsicomp convert slide.svs small.svs --preset mine.toml
      convert by it
"""


@dataclass(frozen=True, kw_only=True)
class PresetsOptions:
    """Arguments of `wsicomp presets`."""

    preset: str = argument("the preset to print; by default all are listed", "")


def run_presets(options: PresetsOptions) -> int:
    """List the presets that ship with wsicomp, or print one as the TOML file that --preset takes."""
    if options.preset:
        show(preset_file(options.preset).read_text("utf-8"))
        return 0
    width = max(map(len, preset_names()))
    say(*(f"{name:<{width}}  {_purpose(name)}" for name in preset_names()))
    return 0


def _purpose(name: str) -> str:
    """Return the first sentence of the comment with which a preset begins."""
    lines = preset_file(name).read_text("utf-8").splitlines()
    comment = " ".join(line.strip("# ") for line in itertools.takewhile(lambda line: line[:1] == "#", lines))
    return comment.split(". ")[0].rstrip(".")


COMMANDS = (Command("presets", (PresetsOptions,), run_presets, epilog=_EPILOG),)
