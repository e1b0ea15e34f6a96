"""Checks of a plan that some callers ask for: the name says what the file is, and loss was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from wsicomp.codecs.registry import compression_info
from wsicomp.config import ConversionConfig
from wsicomp.conversion.outcome import planned_outcome
from wsicomp.errors import ConfigError, LossNotAskedError
from wsicomp.plan.conversion_plan import ConversionPlan

PlanCheck: TypeAlias = Callable[[ConversionPlan], None]
"""Raises where a plan must not be carried out."""


def check_target_name(target: Path) -> PlanCheck:
    """Return a check that a target's name says what the file will be: viewers and people go by it.

    Raises:
        ConfigError: the plan is of an SVS, and the name ends in .tif, .tiff or .btf; or the other way round.
    """

    def check(plan: ConversionPlan) -> None:
        is_svs = target.suffix.lower() == ".svs"
        if is_svs and plan.container == "tiff":
            other = target.with_suffix(".tiff").name
            raise ConfigError(f"it would be a generic TIFF; name it {other}", target)
        if not is_svs and plan.container == "svs":
            stored = [compression_info(level.encoding.compression) for level in plan.levels]
            either = "" if any(each.only_in_svs for each in stored) else ', or take `format="tiff"`'
            raise ConfigError(
                f"it would be an Aperio SVS; name it {target.with_suffix('.svs').name}{either}", target
            )

    return check


def check_asked(target: Path, config: ConversionConfig) -> PlanCheck:
    """Return a check of what one slide's conversion was asked for: its target's name, and its options.

    Raises:
        ConfigError: the name says what the file will not be, or an option of a codec has nothing to do as
            codec auto copies the tiles.
    """
    check_name = check_target_name(target)

    def check(plan: ConversionPlan) -> None:
        check_name(plan)
        if config.codec.name == "auto" and plan.codec == "copy" and config.codec.options:
            name = min(config.codec.options)
            raise ConfigError(
                f"codec auto copies this slide's tiles, so {name} has nothing to do; leave it out, or "
                'take `codec="jpeg"`, which encodes them anew'
            )

    return check


def check_loss(config: ConversionConfig) -> PlanCheck:
    """Return a check that tissue loses nothing unless a codec that does was named, or regions were.

    Raises:
        LossNotAskedError: codec auto would encode tissue with loss.
    """

    def check(plan: ConversionPlan) -> None:
        outcome = planned_outcome(plan)
        is_asked_for = config.codec.name != "auto" or config.regions.roi is not None
        if outcome.is_lossy and not is_asked_for:
            raise LossNotAskedError(
                f"its tiles cannot be copied, and codec auto would encode them with loss, by "
                f'{outcome.lossy_codec}; ask for it by `codec="jpeg"`, or take another codec'
            )

    return check
