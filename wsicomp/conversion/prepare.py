"""Reads and decides all that a conversion needs before it writes: identity, tissue, kinds of tiles, plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wsicomp.codecs.base import ModelCodec
from wsicomp.codecs.registry import create_transcoder
from wsicomp.config import ConversionConfig
from wsicomp.conversion.find_regions import check_prompt, find_regions, stated_regions, with_notes_on_glass
from wsicomp.conversion.glass_shades import Glass
from wsicomp.conversion.likeness import with_likeness
from wsicomp.conversion.planning import plan_conversion
from wsicomp.conversion.region_recipes import outside_config
from wsicomp.conversion.settings import config_then, conversion_digest, model_codec
from wsicomp.conversion.tile_stream import GlassPaint
from wsicomp.conversion.transcode_probe import LevelProbe, probe_levels
from wsicomp.deidentification.deidentify import Deidentified, deidentify_slide
from wsicomp.errors import ConfigError, MaskError, SlideReadError, UnknownModelError
from wsicomp.formats.base import Slide
from wsicomp.formats.identity import identify, slide_bytes
from wsicomp.plan.conversion_plan import ConversionPlan, SourceIdentity
from wsicomp.plan.level_plan import TileAction
from wsicomp.progress import Stages
from wsicomp.regions.regions import Regions
from wsicomp.slide import SlideInfo
from wsicomp.tissue.findings import Findings, find_glass
from wsicomp.verification.reader_agreement import FEW_REGIONS, Disagreement, check_reading, disagreement_notes

_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class KnownSlide:
    """Facts about a slide that an earlier conversion found."""

    identity: SourceIdentity
    """Its identity."""
    findings: Findings
    """Its tissue and glass, from `find_glass`."""
    regions: Regions | None = None
    """Its regions, from `find_regions`; None where they are to be looked for if a config names some."""


@dataclass(frozen=True)
class Prepared:
    """A conversion that is ready to run: its decisions, and the objects that carry them out."""

    plan: ConversionPlan
    """The plan."""
    findings: Findings | None = None
    """The tissue and glass that were found; None where glass is kept."""
    paint: GlassPaint | None = None
    """Paints the glass of mixed tiles; None where glass is kept."""
    regions: Regions | None = None
    """The regions that keep a quality of their own; None where there are none."""
    deidentified: Deidentified | None = None
    """The facts of the slide without names; None where names stay."""
    embedded_model: bytes | None = None
    """The bytes of a neural codec's decoder that the file carries."""
    kept_model: str | None = None
    """The name of the file in which this machine keeps a model that not every machine has."""


def prepare(
    slide: Slide,
    config: ConversionConfig,
    stages: Stages,
    keep_model: bool = False,
    known: KnownSlide | None = None,
) -> Prepared:
    """Identify a slide, find its tissue, sort its tiles and plan its conversion.

    With `keep_model` the model of a neural codec is kept on this machine, unless the file carries it. Facts
    that are `known` by the same options about tissue and regions are not looked for again.

    Raises:
        ConfigError: the config cannot be carried out on this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read.
        WeightsError: the network is missing, or differs from its manifest.
        SlideWriteError: the model cannot be kept.
    """
    info = slide.info
    check_prompt(slide, config)
    stated, config = config, outside_config(info, config)
    with stages.stage("identify") as progress:
        named = not config.output.deidentify
        identity = known.identity if known else identify(slide, progress, with_name=named)
        codec = model_codec(config)
        kept = _kept_model(codec, config) if keep_model else None
        model = None if codec is None else codec.describe()
        embedded = codec.decoder() if codec is not None and config.codec.embed_model else None
        digest = conversion_digest(identity.sha256, stated)
        deidentified = deidentify_slide(slide, config.run.workers) if config.output.deidentify else None
        probes = _probes(slide, config, deidentified)
        misread = [] if known else check_reading(slide, config.run.workers, FEW_REGIONS)
    findings = None
    if config.glass.fill != "keep":
        findings = known.findings if known else find_glass(slide, config, stages)
    regions = known.regions if known and stated.regions.roi is not None else None
    regions = regions or find_regions(slide, stated, findings, stages)
    if regions is not None and findings is not None:
        regions = with_notes_on_glass(regions, findings.tissue, info.levels[0])
    glass = None if findings is None else _glass_of(findings)
    plan = _planned(info, identity, digest, stated, glass, probes, model, deidentified, regions)
    plan = _with_reading_notes(plan, misread, slide)
    if "like" in config.codec.options:
        with stages.stage("measure"):
            plan = with_likeness(slide, plan, config.run.workers)
    return Prepared(plan, findings, _paint(findings, plan), regions, deidentified, embedded, kept)


def prepare_trial(
    slide: Slide, config: ConversionConfig, findings: Findings | None = None, regions: Regions | None = None
) -> Prepared:
    """Plan a conversion of which only some tiles are to be tried, and nothing is written.

    Nothing is looked for, and neither the slide nor a file that the config names is read for its digest: the
    plan has zeros there. `findings` are the slide's tissue and glass, None where the config keeps glass;
    `regions` are those of a config that names some, whose file need not exist.

    Raises:
        ConfigError: the config cannot be carried out on this source.
        SlideReadError: the source cannot be read.
    """
    stated, config = config, outside_config(slide.info, config)
    codec = model_codec(config)
    model = None if codec is None else codec.describe()
    identity = SourceIdentity(None, slide_bytes(slide.info.path), _NO_DIGEST, origin_sha256=None)
    glass = None if findings is None else _glass_of(findings)
    probes = _probes(slide, config, None)
    plan = _planned(slide.info, identity, _NO_DIGEST, stated, glass, probes, model, None, regions)
    return Prepared(plan, findings, _paint(findings, plan), regions)


def _glass_of(findings: Findings) -> Glass:
    return Glass(findings.classes, findings.color, findings.bare, findings.tissue.notes)


def _paint(findings: Findings | None, plan: ConversionPlan) -> GlassPaint | None:
    return None if findings is None else GlassPaint(findings.mask, findings.classes.found, plan.palette)


def _planned(
    info: SlideInfo,
    identity: SourceIdentity,
    digest: str,
    config: ConversionConfig,
    glass: Glass | None,
    probes: tuple[LevelProbe, ...],
    model: Mapping[str, object] | None,
    deidentified: Deidentified | None,
    regions: Regions | None,
) -> ConversionPlan:
    start = deidentified or Deidentified(info)
    plan = plan_conversion(
        start.info, identity, digest, config, glass, probes, model, start.unproved, regions
    )
    return replace(plan, notes=(*plan.notes, *start.notes))


def _with_reading_notes(plan: ConversionPlan, misread: list[Disagreement], slide: Slide) -> ConversionPlan:
    """Return the plan with a note where other programs show the source otherwise than wsicomp reads it.

    Raises:
        SlideReadError: wsicomp alone reads it so, and its pixels would be written or decide what is.
    """
    notes = tuple(disagreement_notes(misread))
    carries = all(
        level.count(TileAction.ENCODE) + level.count(TileAction.MASK_AND_ENCODE) == 0 for level in plan.levels
    )
    if any(one.is_ours_alone for one in misread) and not (carries and plan.keeps_glass):
        message = f"{notes[0]}; wrong pixels would be written: take codec copy with glass keep, and report it"
        raise SlideReadError(message, slide.info.path)
    return replace(plan, notes=(*plan.notes, *notes))


def plan_flaw(slide: Slide, sha256: str, config: ConversionConfig, plan: ConversionPlan) -> str:
    """Return in words how a plan with this conversion's digest differs from its plan; "" if it does not.

    It may be the plan that another version made of the same options, if its defaults are known. `sha256` is
    the digest of the slide's file. Which tiles are glass is left to `verify`, which compares the file with
    its source tile by tile.

    Raises:
        SlideReadError: the source cannot be read.
        WeightsError: the network is missing, or differs from its manifest.
    """
    try:
        stated = config_then(plan, config)
        config = outside_config(slide.info, stated)
        codec = model_codec(config)
    except (ConfigError, UnknownModelError) as exc:
        return f"plan-differs: file: {exc.message}"
    model = None if codec is None else codec.describe()
    deidentified = deidentify_slide(slide, config.run.workers) if config.output.deidentify else None
    try:
        probes = _probes(slide, config, deidentified)
        regions = stated_regions(slide, stated)
        own = _planned(
            slide.info, plan.source, plan.digest, stated, None, probes, model, deidentified, regions
        )
    except (ConfigError, MaskError) as exc:
        return f"plan-differs: file: no conversion as this one can be made of the source ({exc.message})"
    own = replace(own, software=plan.software)
    if plan.source.sha256 != sha256:
        return "source-differs: file: it says that it was made from another file"
    found, expected = (_decided(one) for one in (plan, own))
    for name in expected:
        if found[name] != expected[name]:
            return f"plan-differs: file: its {name} is not what this conversion has"
    return ""


def _decided(plan: ConversionPlan) -> dict[str, object]:
    """Return a plan as JSON values, without its source's name and without what depends on pixels.

    Of its options only plane and first level are left: `config_then` has compared the others. The order of
    associated images depends on the version that wrote them, so they are sorted.
    """
    values = json.loads(json.dumps(plan.to_json()))
    config = values["config"]
    by_slide = config.get("z"), config.get("from_level", 0)
    values |= {"config": by_slide, "images": sorted(values["images"])}
    for level in values["levels"]:
        del level["actions"]
        level.pop("shade_rows", None)
        level.pop("recipe_rows", None)
        for recipe in (level, *level.get("further_recipes", ())):
            _forget_found_bounds(recipe, plan)
            recipe.pop("shared", None)  # each version shares what it can; tiles are rebuilt by what is stated
    colors = ("background", "further_shades") if plan.background_from_slide else ()
    by_pixels = ("notes", "big", *colors)
    return {name: value for name, value in values.items() if name not in ("source", *by_pixels)}


def _forget_found_bounds(recipe: dict[str, Any], plan: ConversionPlan) -> None:
    """Leave bounds that nobody chose out of a model's recipe: they depend on the version, or on pixels."""
    options = recipe["options"]
    if "model" in options and plan.stated_config.get("quality") is None:
        options.pop("quality", None)
    if options.get("like"):
        options.pop("min_ssim", None)


def kept_model(config: ConversionConfig) -> str | None:
    """Keep a neural codec's model on this machine, and return its file's name.

    Return None where the codec has no model, the converted file carries it, or it ships with wsicomp.

    Raises:
        SlideWriteError: the model cannot be kept.
    """
    return _kept_model(model_codec(config), config)


def _kept_model(codec: ModelCodec | None, config: ConversionConfig) -> str | None:
    return None if codec is None or config.codec.embed_model else codec.keep_model()


def _probes(
    slide: Slide, config: ConversionConfig, deidentified: Deidentified | None
) -> tuple[LevelProbe, ...]:
    """Return for each level what repacking a few of its tiles shows; nothing if not lossless."""
    if not config.codec.lossless:
        return ()
    return probe_levels(slide, create_transcoder(config.codec.name, config.codec.restorable), deidentified)
