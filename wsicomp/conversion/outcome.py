"""The outcome of a conversion as a lab asks: what became of tissue, who opens it, is there a way back.

A plan foretells it, a finished file has it proved and measured.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from wsicomp.codecs.registry import codec_info
from wsicomp.conversion.tissue_loss import TissueLoss
from wsicomp.formats.base import Slide
from wsicomp.formats.compatibility import ReaderVerdict, opens_in, planned_verdicts, verdicts
from wsicomp.formats.lower_levels import LowerLevels
from wsicomp.formats.stated_scale import power_text, stated_power
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.plan.provenance import LevelRecord, Provenance
from wsicomp.slide import JPEG
from wsicomp.text.figures import counted


class Tissue(enum.StrEnum):
    """What became of tissue, over all levels that the source has. The best comes first."""

    BYTES = "exact bytes"
    """Each tile is the source's, byte for byte, or gives its bytes back."""
    PIXELS = "exact pixels"
    """Each tile decodes to the source's pixels."""
    LOSSY = "lossy"
    """Tiles were encoded anew, and decode to other pixels than the source's."""


@dataclass(frozen=True)
class Outcome:
    """What a conversion did to a slide, or would do."""

    tissue: Tissue
    """What became of tissue."""
    lossy_codec: str
    """By which codec and quality lossy tissue is encoded, in words; "" where it is exact."""
    least_ssim: float | None
    """The least SSIM of a lossy tile, at most 1; None where none was measured."""
    ssim_tiles: int
    """The count of tiles that were measured."""
    opens_in: str | None
    """Which of the programs tried open the target, in words; None where the target was not verified."""
    reversible: bool
    """Whether the target gives the source's file back, byte for byte."""
    is_source: bool = False
    """Whether the target is the source's own file, since a conversion gains nothing."""
    from_level: int = 0
    """How many finer levels of the scan are left out, so that tissue is what it is from this level on."""
    power: float | None = None
    """The objective power of the target's largest level, by its um per px where none is stated."""
    exact_regions: tuple[str, ...] = ()
    """The classes of regions of which every pixel is kept where other tissue is lossy."""

    @property
    def is_lossy(self) -> bool:
        """Whether tissue lost something."""
        return self.tissue is Tissue.LOSSY

    @property
    def tissue_text(self) -> str:
        """What became of tissue, in one line."""
        if not self.is_lossy:
            return f"{self.tissue}{self.beginning}"
        measured = "SSIM not measured"
        if self.least_ssim is not None:
            least = math.floor(self.least_ssim * 1000) / 1000
            measured = f"least SSIM {least:.3f} of {counted(self.ssim_tiles, 'tile')} measured"
        where = f" outside of regions ({', '.join(self.exact_regions)} exact)" if self.exact_regions else ""
        return f"LOSSY{where}, {self.lossy_codec}{self.beginning}; {measured}"

    @property
    def beginning(self) -> str:
        """Where the target begins, behind what it holds: ", from level 1 on (20x)"; "" if at level 0."""
        return f", from level {self.from_level} on{power_text(self.power)}" if self.from_level else ""

    def lines(self) -> tuple[str, ...]:
        """Return the outcome as lines for a person, each with its label."""
        way = "yes, `wsicomp.restore` gives the source back" if self.reversible else "no"
        opens = "not known: it was not verified" if self.opens_in is None else self.opens_in
        return (
            f"tissue: {self.tissue_text}",
            f"opens in: {opens}",
            f"reversible: {'yes, it is the source' if self.is_source else way}",
        )


def planned_outcome(plan: ConversionPlan, source: Slide | None = None) -> Outcome:
    """Return the outcome that a plan will have; whether the source is given back is proved only at the end.

    With the `source`, `opens_in` tells what the source itself did not open in.
    """
    opens = opens_in(planned_verdicts(plan), _verdicts_of(source))
    reversible = bool(plan.stated_config["restorable"])
    outcome = Outcome(_tissue(plan), _lossy_text(plan), None, 0, opens, reversible)
    return replace(outcome, from_level=plan.from_level, power=_power(plan), exact_regions=exact_regions(plan))


def outcome_of(
    provenance: Provenance,
    loss: TissueLoss | None,
    readers: Sequence[ReaderVerdict],
    source: Slide | None,
) -> Outcome:
    """Return the outcome of a finished conversion.

    `loss` is what was measured of lossy tiles, `readers` are the verdicts on the file; none where it was not
    verified.
    """
    plan = provenance.plan
    guarded = [record.guarded for record in provenance.levels if record.guarded is not None]
    ssims = [figures.least_ssim for figures in guarded if figures.tiles]
    ssims += [] if loss is None else [loss.least_ssim]
    tissue = _tissue(plan)
    if any(record.renewed for record in provenance.levels):
        tissue = Tissue.LOSSY
    is_lossy = tissue is Tissue.LOSSY
    return Outcome(
        tissue=tissue,
        lossy_codec=_lossy_text(plan) or ("tiles that named somebody, encoded anew" if is_lossy else ""),
        least_ssim=min(ssims) if ssims and is_lossy else None,
        ssim_tiles=(sum(figures.tiles for figures in guarded) + (loss.tiles if loss else 0)) * is_lossy,
        opens_in=opens_in(readers, _verdicts_of(source)) if readers else None,
        reversible=provenance.restoration is not None,
        from_level=plan.from_level,
        power=_power(plan),
        exact_regions=exact_regions(plan, provenance.levels),
    )


def exact_regions(plan: ConversionPlan, records: Sequence[LevelRecord] = ()) -> tuple[str, ...]:
    """Return the classes of regions that keep every pixel; with their levels where that is not on each.

    `records` are those of a written file's levels: a tile that was encoded to name nobody is not exact.
    """
    own = [level for level in plan.levels if level.reduction == 1]
    found: dict[str, list[int]] = {}
    lossy = set()
    for level in own:
        for number, recipe in enumerate(level.recipes):
            if recipe.region and level.takes(number).any():
                found.setdefault(recipe.region, []).append(level.number)
                lossy |= set() if recipe.is_exact else {recipe.region}
    for level, record in zip(plan.levels, records, strict=False):
        for number in record.renewed:
            row, column = divmod(number, level.grid.columns)
            lossy.add(level.recipe(TileIndex(level.number, column, row)).region)
    everywhere = [level.number for level in own]
    return tuple(f"{name}{on_levels(at, everywhere)}" for name, at in found.items() if name not in lossy)


def on_levels(levels: Collection[int], everywhere: Collection[int]) -> str:
    """Return levels in words, " on level 0 alone"; "" for all of `everywhere`, and for none."""
    numbers = sorted({*levels})
    if not numbers or {*numbers} == {*everywhere}:
        return ""
    many = "s" if len(numbers) > 1 else ""
    return f" on level{many} {', '.join(map(str, numbers))} alone"


def _power(plan: ConversionPlan) -> float | None:
    return stated_power(plan.objective_power, plan.mpp, plan.levels[0].size)


def _verdicts_of(source: Slide | None) -> tuple[ReaderVerdict, ...]:
    whole = source.whole if isinstance(source, LowerLevels) else source
    return verdicts(whole) if isinstance(whole, TiffSlide) else ()


def lossy_recipes(level: LevelPlan) -> Iterator[tuple[int, Recipe]]:
    """Yield number and recipe of a level's tiles that will decode to other pixels than the source's."""
    for number, recipe in enumerate(level.recipes):
        encodes = level.actions_of(number) & {TileAction.ENCODE, TileAction.MASK_AND_ENCODE}
        if encodes and not recipe.is_exact:
            yield number, recipe


def _tissue(plan: ConversionPlan) -> Tissue:
    own = [level for level in plan.levels if level.reduction == 1]
    if any(True for level in own for _ in lossy_recipes(level)):
        return Tissue.LOSSY
    gives_bytes = not plan.deidentified and all(_gives_bytes(plan, level) for level in own)
    return Tissue.BYTES if gives_bytes else Tissue.PIXELS


def _gives_bytes(plan: ConversionPlan, level: LevelPlan) -> bool:
    """Return whether each stored tile of a level is its source's bytes, or unpacks to them."""
    return all(
        recipe.action is TileAction.COPY
        or (recipe.action is TileAction.TRANSCODE and _unpacks_to_bytes(plan, recipe))
        for recipe in level.recipes
    )


def _unpacks_to_bytes(plan: ConversionPlan, recipe: Recipe) -> bool:
    """Return whether a repacked tile gives its bytes back: a JPEG inside JPEG XL does."""
    is_jpeg_inside = recipe.shown.compression == JPEG != recipe.encoding.compression
    return is_jpeg_inside or bool(plan.stated_config["restorable"])


def _lossy_text(plan: ConversionPlan) -> str:
    """Return the codecs of lossy levels with their options: "jpeg (quality 90)"."""
    found = {
        lossy_recipe_text(recipe, plan): None
        for level in plan.levels
        if level.reduction == 1
        for _, recipe in lossy_recipes(level)
    }
    return " and ".join(found)


def lossy_recipe_text(recipe: Recipe, plan: ConversionPlan) -> str:
    """Return a recipe by which a plan's tiles are encoded, in words: "jpeg (quality 90)"."""
    info = codec_info(recipe.codec)
    if info.needs_model and plan.model is not None:
        return f"{recipe.codec} (model {plan.model['name']})"
    value = None if info.dial is None else recipe.options.get(info.dial.option)
    return (
        recipe.codec if value is None or info.dial is None else f"{recipe.codec} ({info.dial.option} {value})"
    )
