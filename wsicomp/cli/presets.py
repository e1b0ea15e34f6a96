"""`wsicomp presets`: list the presets that ship, each with what it saves, who opens it and the way back."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from wsicomp.cli.commands import Command
from wsicomp.cli.text import say, write_json
from wsicomp.config import AboutPreset, about_preset, preset_names
from wsicomp.options import option

_WIDTH = 79
_MEASURED = """\
Saved was measured on one drawn slide; measure your own by `wsicomp compare`:
  wsicomp demo look
  wsicomp convert look/slide.svs small.tiff --preset NAME   (small.svs for an SVS)"""


@dataclass(frozen=True, kw_only=True)
class PresetsOptions:
    """Arguments of `wsicomp presets`."""

    json: bool = option(False, "print JSON")


def run_presets(options: PresetsOptions) -> int:
    """List the presets that ship: what each saves, what becomes of tissue, who opens it, the way back.

    Convert by one with --preset NAME. What it saves was measured on the slide that `wsicomp demo` draws.
    """
    found = {name: about_preset(name) for name in preset_names()}
    if options.json:
        write_json({name: asdict(about) for name, about in found.items()}, None)
        return 0
    for name, about in found.items():
        say(name, *_lines(about))
    say("", *_MEASURED.splitlines())
    return 0


def _lines(about: AboutPreset) -> Iterator[str]:
    yield from textwrap.wrap(about.purpose, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    facts = {
        "saved": _saved(about.saved_percent),
        "tissue": about.tissue,
        "opens in": about.opens_in,
        "reversible": "yes" if about.reversible else "no",
    }
    for label, text in facts.items():
        first = f"    {label + ':':<12}"
        yield from textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _saved(percent: float) -> str:
    if percent < 0:
        return f"nothing: the demo's slide gets {-percent:g} % larger"
    return f"{percent:g} % of the demo's slide"


COMMANDS = (Command("presets", (PresetsOptions,), run_presets),)
