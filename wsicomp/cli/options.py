"""The options of a conversion, for every command that converts, and the config that they make."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wsicomp.cli.text import say
from wsicomp.codecs.registry import named_options
from wsicomp.config import (
    CodecConfig,
    ConversionConfig,
    GlassConfig,
    OutputConfig,
    RunConfig,
    TissueConfig,
    load_preset,
    option_names,
    preset_names,
)
from wsicomp.errors import ConfigError
from wsicomp.options import Option, options_of

_OF_BATCH = ("min_saving",)
"""Names in a preset that are no field of a config: `wsicomp batch` alone reads them."""

_GROUPS: dict[str, Iterable[Option]] = {
    "what becomes of tissue": (*options_of(CodecConfig).values(), *named_options().values()),
    "what becomes of glass": (*options_of(GlassConfig).values(), *options_of(TissueConfig).values()),
    "the file": options_of(OutputConfig).values(),
    "its checks": (options_of(RunConfig)["strict"], options_of(RunConfig)["verify"]),
}


def add_conversion_options(parser: argparse.ArgumentParser) -> None:
    """What becomes of tissue and glass, and the file: all but how one run goes."""
    parser.add_argument(
        "--preset",
        type=Path,
        metavar="PRESET",
        help=f"options from a TOML file, or from one of {', '.join(preset_names())}; others override it",
    )
    for title, options in _GROUPS.items():
        add_options(parser.add_argument_group(title), options)


def add_segmenter_options(group: argparse._ArgumentGroup) -> None:
    """Everything about how tissue is found, for the commands that look for it."""
    add_options(group, (each for each in options_of(TissueConfig).values() if each.name != "mask"))


def add_plane_option(group: argparse._ActionsContainer) -> None:
    """Which focal plane of a slide is looked at."""
    add_options(group, [options_of(OutputConfig)["z"]])


def add_options(group: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    """Add options as they are declared."""
    for each in options:
        text = each.meaning.replace("%", "%%")
        if each.kind is bool and each.default:
            off = f"--no-{each.name}"
            group.add_argument(off, dest=each.name, action="store_false", help=f"do not {text}")
        elif each.kind is bool:
            group.add_argument(each.flag, action=argparse.BooleanOptionalAction, help=text)
        elif each.choices:
            group.add_argument(each.flag, choices=each.choices, help=text)
        else:
            group.add_argument(each.flag, type=each.kind, metavar=each.metavar or None, help=text)


def batch_options(options: argparse.Namespace) -> dict[str, Any]:
    """What the preset of a command line says of a batch, and not of a conversion."""
    given = vars(options)
    preset = load_preset(given["preset"]) if "preset" in given else {}
    return {name: preset[name] for name in _OF_BATCH if name in preset}


def parsed_config(options: argparse.Namespace, command: str) -> ConversionConfig | None:
    """The config of a preset and the command line; None, and a line on stderr, where it cannot be."""
    given = vars(options)
    preset = load_preset(given["preset"]) if "preset" in given else {}
    preset = {name: value for name, value in preset.items() if name not in _OF_BATCH}
    try:
        return ConversionConfig.of(
            **{**preset, **{name: value for name, value in given.items() if name in option_names()}}
        )
    except ConfigError as exc:
        where = f" (with preset {given['preset']})" if "preset" in given else ""
        say(f"wsicomp {command}: {exc}{where}", file=sys.stderr)
        return None
