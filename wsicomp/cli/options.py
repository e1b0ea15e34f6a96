"""The options of a conversion, for every command that converts slides or finds their tissue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.config import CodecConfig, TissueConfig, all_options, preset_names
from wsicomp.options import Option, option, options_of

CONVERSION = tuple(all_options().values())
"""Every option of a conversion."""

FINDING_TISSUE = tuple(each for each in options_of(TissueConfig).values() if each.name != "mask")
"""The options on finding tissue, for the commands that look for it."""


@dataclass(frozen=True, kw_only=True)
class PresetOptions:
    """The preset that a command can take options from."""

    preset: Path | None = option(
        None,
        "take options from a TOML file, or from one that ships, as `wsicomp presets` lists them; options "
        "beside it win",
        metavar="PRESET",
        suggestions=preset_names(),
        group=CodecConfig.GROUP,
    )


def conversion_option(name: str, help: str = "", group: str = "") -> Option:  # noqa: A002 - as in Option
    """Return an option of a conversion, with another help or group if one is given."""
    found = all_options()[name]
    return replace(found, help=help or found.help, group=group or found.group)
