"""Whether a person has to look at a conversion before its source goes: no tissue, or hardly anything left."""

from __future__ import annotations

import math

import numpy as np

from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import WITHOUT_BYTES, Provenance

MOST_REMOVED = 0.98
"""The part of level 0's area that may be taken out as glass before a person should look at the target."""


def tissue_fraction_of(provenance: Provenance) -> float | None:
    """Return the part of the slide that the mask with its margin holds; None where glass was kept."""
    mask = provenance.mask
    return None if mask is None else float(mask["tissue_fraction_with_margin"])


def review_reason(provenance: Provenance) -> str:
    """Return why a person should look at a conversion before its source goes; "" if nobody has to."""
    return review_reason_by(tissue_fraction_of(provenance), removed_area_of(provenance))


def planned_review_reason(plan: ConversionPlan) -> str:
    """Return why a person should look at a planned conversion, by its tiles alone; "" if nobody has to."""
    if plan.keeps_glass:
        return ""
    kept, painted = kept_and_painted(plan.levels[0])
    return review_reason_by(1.0, 1 - kept - painted)


def review_reason_by(tissue_fraction: float | None, area: float | None) -> str:
    """Return why a person should look at a conversion; "" if nobody has to.

    `tissue_fraction` is the mask's part of tissue, `area` the part of level 0 that was removed, both in [0,
    1]. None means that glass was kept.
    """
    if tissue_fraction is None or area is None:
        return ""
    if tissue_fraction == 0:
        gone = "everything that looks like glass" if area else "nothing of its level 0"
        return f"no tissue was found, and {gone} was taken out"
    if area > MOST_REMOVED:
        return f"over 98 % of its area went as glass or is blank ({_not_rounded_up(area)}, by tiles and mask)"
    return ""


def review_note(reason: str) -> str:
    """Return the report's note on a conversion that a person should look at."""
    return f"{reason}: look at the target before the source goes"


def _not_rounded_up(fraction: float) -> str:
    return f"{math.floor(fraction * 1000) / 10:.1f} %"


def removed_area_of(provenance: Provenance) -> float | None:
    """Return the part of level 0 that was taken out as glass, in [0, 1]; None where glass was kept."""
    kept, painted = kept_and_painted(provenance.plan.levels[0])
    return removed_area(kept, painted, tissue_fraction_of(provenance))


def kept_and_painted(level: LevelPlan) -> tuple[float, float]:
    """Return (whole, painted), parts of a level's area in [0, 1].

    `whole` is in tiles that stay whole, `painted` in tiles whose glass may be painted.
    """
    width, height = (
        np.minimum(tile, side - np.arange(count) * tile)
        for tile, side, count in (
            (level.tile.width, level.size.width, level.grid.columns),
            (level.tile.height, level.size.height, level.grid.rows),
        )
    )
    areas = np.outer(height, width)
    removed = np.isin(level.actions, WITHOUT_BYTES)
    painted = level.actions == TileAction.MASK_AND_ENCODE.value
    whole = ~(removed | painted)
    total = int(areas.sum())
    return int(areas[whole].sum()) / total, int(areas[painted].sum()) / total


def removed_area(kept: float, painted: float, tissue_fraction: float | None) -> float | None:
    """Return the largest part of a level's area that may have been taken out; None where glass was kept.

    All parts are in [0, 1]. `kept` and `painted` are the two of `kept_and_painted`; `tissue_fraction` is the
    mask's. In painted tiles only tissue is sure to stay: the mask's tissue that whole tiles do not hold.

    >>> round(removed_area(kept=0.3, painted=0.2, tissue_fraction=0.4), 3)
    0.6
    """
    if tissue_fraction is None:
        return None
    stays = min(painted, max(0.0, tissue_fraction - kept))
    return max(0.0, 1 - kept - stays)
