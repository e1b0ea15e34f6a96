"""Everything that a conversion reads and decides before it writes: identify, segment, survey, plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from wsicomp.codecs.base import ModelCodec
from wsicomp.codecs.registry import create_transcoder
from wsicomp.config import ConversionConfig
from wsicomp.conversion.planning import Glass, plan_conversion
from wsicomp.conversion.settings import config_then, conversion_digest, model_codec
from wsicomp.conversion.tile_stream import GlassPaint
from wsicomp.conversion.transcode_probe import levels_that_shrink
from wsicomp.deidentification.deidentify import Deidentified, deidentify_slide
from wsicomp.errors import ConfigError, SlideReadError, UnknownModelError
from wsicomp.formats.base import Slide
from wsicomp.formats.identity import identify
from wsicomp.plan import ConversionPlan, SourceIdentity, TileAction
from wsicomp.progress import Stages
from wsicomp.slide import SlideInfo
from wsicomp.tissue.findings import Findings, find_glass
from wsicomp.verification.reader_agreement import FEW_REGIONS, Disagreement, check_reading, disagreement_notes


@dataclass(frozen=True)
class Known:
    """What is known of a slide before it is prepared: which one it is, and what `find_glass` found on it."""

    identity: SourceIdentity
    findings: Findings


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before writing: the plan, and what carries it out.

    `deidentified` is None where names stay, `findings` and `paint` where glass does. `embedded_model` is what
    the file is to carry of a neural codec's model, `kept_model` the name of the file in which this machine
    keeps one that not every machine has.
    """

    plan: ConversionPlan
    findings: Findings | None = None
    paint: GlassPaint | None = None
    deidentified: Deidentified | None = None
    embedded_model: bytes | None = None
    kept_model: str | None = None


def prepare(
    slide: Slide,
    config: ConversionConfig,
    stages: Stages,
    keep_model: bool = False,
    known: Known | None = None,
) -> Prepared:
    """Identify, segment, survey and plan.

    With `keep_model` the model of a neural codec stays on this machine, unless the file is to carry it.
    What is `known` already, by the same choices about tissue, is not looked for again.

    Raises:
        ConfigError: what the config asks for cannot be made of this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read.
        WeightsError: the network is not what its manifest says.
        SlideWriteError: the model cannot be kept.
    """
    info = slide.info
    with stages.stage("identify") as progress:
        identity = known.identity if known else identify(slide, config, progress)
        codec = model_codec(config)
        kept = _kept_model(codec, config) if keep_model else None
        model = None if codec is None else codec.describe()
        embedded = codec.decoder() if codec is not None and config.codec.embed_model else None
        digest = conversion_digest(identity.sha256, config)
        shrinking = _shrinking(slide, config)
        without = deidentify_slide(slide, config.run.workers) if config.output.deidentify else None
        misread = [] if known else check_reading(slide, config.run.workers, FEW_REGIONS)
    if config.glass.fill == "keep":
        plan = _planned(info, identity, digest, config, None, shrinking, model, without)
        plan = _noted(plan, misread, slide)
        return Prepared(plan, deidentified=without, embedded_model=embedded, kept_model=kept)
    findings = known.findings if known else find_glass(slide, config, stages)
    glass = Glass(findings.classes, findings.color, findings.tissue.notes)
    plan = _planned(info, identity, digest, config, glass, shrinking, model, without)
    plan = _noted(plan, misread, slide)
    paint = GlassPaint(findings.mask, findings.classes.found, plan.background)
    return Prepared(plan, findings, paint, without, embedded, kept)


def _planned(
    info: SlideInfo,
    identity: SourceIdentity,
    digest: str,
    config: ConversionConfig,
    glass: Glass | None,
    shrinking: tuple[bool, ...],
    model: Mapping[str, object] | None,
    without: Deidentified | None,
) -> ConversionPlan:
    if without is None:
        return plan_conversion(info, identity, digest, config, glass, shrinking, model)
    plan = plan_conversion(without.info, identity, digest, config, glass, shrinking, model, without.unproved)
    return replace(plan, notes=(*plan.notes, *without.notes))


def _noted(plan: ConversionPlan, misread: list[Disagreement], slide: Slide) -> ConversionPlan:
    """The plan with a note where others show the source otherwise than we read it.

    Raises:
        SlideReadError: we alone read it so, and pixels that we read would come into the target or decide it.
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
    """How a plan that has the digest of this conversion is not its plan, in words; "" if nothing is wrong.

    It may be the plan that another version made of the same options, if its defaults are known.

    `sha256` is the digest of the slide's file.

    All is compared that no pixel decides; which tiles are glass is looked at tile by tile when the file is
    held against its source.

    Raises:
        SlideReadError, WeightsError: as `prepare`.
    """
    try:
        config = config_then(plan, config)
        codec = model_codec(config)
    except (ConfigError, UnknownModelError) as exc:
        return f"plan-differs: file: {exc.message}"
    model = None if codec is None else codec.describe()
    without = deidentify_slide(slide, config.run.workers) if config.output.deidentify else None
    try:
        shrinking = _shrinking(slide, config)
        own = _planned(slide.info, plan.source, plan.digest, config, None, shrinking, model, without)
    except ConfigError as exc:
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
    """A plan as JSON values, without what it says of its source's name, and what pixels decide.

    Of its options only the plane is left: `config_then` has compared the others. In which order images beside
    the levels stand is up to the version that wrote them.
    """
    values = json.loads(json.dumps(plan.to_json()))
    values |= {"config": values["config"].get("z"), "images": sorted(values["images"])}
    for level in values["levels"]:
        del level["actions"]
    by_pixels = ("notes", "big", *(["background"] if plan.background_from_slide else []))
    return {name: value for name, value in values.items() if name not in ("source", *by_pixels)}


def kept_model(config: ConversionConfig) -> str | None:
    """The name of the file in which this machine keeps a neural codec's model that not every machine has.

    None where the file carries the model, or there is none.

    Raises:
        SlideWriteError: the model cannot be kept.
    """
    return _kept_model(model_codec(config), config)


def _kept_model(codec: ModelCodec | None, config: ConversionConfig) -> str | None:
    return None if codec is None or config.codec.embed_model else codec.keep_model()


def _shrinking(slide: Slide, config: ConversionConfig) -> tuple[bool, ...]:
    """Which levels repacking without loss makes smaller, by a few of their tiles; none if it is not asked."""
    if not config.codec.lossless:
        return ()
    return levels_that_shrink(slide, create_transcoder(config.codec.name, config.codec.restorable))
