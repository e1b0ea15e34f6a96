"""Everything that a conversion reads and decides before it writes: identify, segment, survey, plan."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from wsicomp.codecs import ModelCodec, create_codec, create_transcoder
from wsicomp.config import NEURAL_CODECS, ConversionConfig
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.inputs import check_file, reason
from wsicomp.plan import ConversionPlan, SourceIdentity, TileAction
from wsicomp.pyramid.nameless import Nameless, nameless
from wsicomp.pyramid.planning import Glass, conversion_digest, plan_conversion
from wsicomp.pyramid.reading import FEW_REGIONS, Disagreement, check_reading, told_once
from wsicomp.pyramid.stream import Whitening
from wsicomp.pyramid.trial import levels_that_shrink
from wsicomp.readers.converted import ConvertedSlide
from wsicomp.readers.parts import slide_parts
from wsicomp.slide import Slide, SlideInfo
from wsicomp.stages import StageProgress, Stages, untold
from wsicomp.tissue.filler import find_filler, without_filler
from wsicomp.tissue.glass import GlassColor, GlassGuard, GlassSurvey, TileKind, fit_glass_color, survey_glass
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.maskfile import read_mask
from wsicomp.tissue.scale import margin_in_px
from wsicomp.tissue.segment import Overview, Segmenter, read_overview
from wsicomp.tissue.threshold import ThresholdSegmenter
from wsicomp.tissue.unet import UnetSegmenter
from wsicomp.tissue.weights import SHIPPED, load_weights

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Findings:
    """What is tissue and what is glass on a slide, whatever is then made of it.

    `tissue` is the mask without its margin, `mask` with it; `color` is how bare glass looks.
    """

    tissue: TissueMask
    mask: TissueMask
    color: GlassColor
    guard: GlassGuard
    survey: GlassSurvey

    @property
    def rescued_tiles(self) -> int:
        """Tiles of all levels that the mask called glass and the guard kept."""
        return sum(int((kinds == TileKind.RESCUED).sum()) for kinds in self.survey.kinds)


@dataclass(frozen=True)
class Known:
    """What is known of a slide before it is prepared: which one it is, and what `find_glass` found on it."""

    identity: SourceIdentity
    findings: Findings


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before writing: the plan, and what carries it out.

    `nameless` is None where names stay, `findings` and `whitening` where glass does. `embedded_model` is what
    the file is to carry of a neural codec's model, `kept_model` the name of the file in which this machine
    keeps one that not every machine has.
    """

    plan: ConversionPlan
    findings: Findings | None = None
    whitening: Whitening | None = None
    nameless: Nameless | None = None
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
        codec = _model_codec(config)
        kept = _kept_model(codec, config) if keep_model else None
        model = None if codec is None else codec.describe()
        embedded = codec.decoder() if codec is not None and config.embed_model else None
        digest = conversion_digest(identity.sha256, config, _tissue_sha256(config), model)
        shrinking = _shrinking(slide, config)
        without = nameless(slide, config.workers) if config.deidentify else None
        misread = [] if known else check_reading(slide, config.workers, FEW_REGIONS)
    if config.glass == "keep":
        plan = _planned(info, identity, digest, config, None, shrinking, model, without)
        plan = _told(plan, misread, slide)
        return Prepared(plan, nameless=without, embedded_model=embedded, kept_model=kept)
    findings = known.findings if known else find_glass(slide, config, stages)
    glass = Glass(findings.survey, findings.color, findings.tissue.notes)
    plan = _planned(info, identity, digest, config, glass, shrinking, model, without)
    plan = _told(plan, misread, slide)
    whitening = Whitening(findings.mask, findings.survey.found, plan.background)
    return Prepared(plan, findings, whitening, without, embedded, kept)


def _planned(
    info: SlideInfo,
    identity: SourceIdentity,
    digest: str,
    config: ConversionConfig,
    glass: Glass | None,
    shrinking: tuple[bool, ...],
    model: Mapping[str, object] | None,
    without: Nameless | None,
) -> ConversionPlan:
    if without is None:
        return plan_conversion(info, identity, digest, config, glass, shrinking, model)
    plan = plan_conversion(without.info, identity, digest, config, glass, shrinking, model, without.unproved)
    return replace(plan, notes=(*plan.notes, *without.notes))


def _told(plan: ConversionPlan, misread: list[Disagreement], slide: Slide) -> ConversionPlan:
    """The plan with a note where others show the source otherwise than we read it.

    Raises:
        SlideReadError: we alone read it so, and pixels that we read would come into the target or decide it.
    """
    notes = tuple(told_once(misread))
    carries = all(
        level.count(TileAction.ENCODE) + level.count(TileAction.MASK_AND_ENCODE) == 0 for level in plan.levels
    )
    if any(one.is_ours_alone for one in misread) and not (carries and plan.config["glass"] == "keep"):
        message = f"{notes[0]}; wrong pixels would be written: take codec copy with glass keep, and report it"
        raise SlideReadError(message, slide.info.path)
    return replace(plan, notes=(*plan.notes, *notes))


def find_glass(slide: Slide, config: ConversionConfig, stages: Stages) -> Findings:
    """Look for tissue, and then at every tile that the mask calls glass.

    Raises:
        MaskError, SlideReadError, WeightsError: as `prepare`.
    """
    tissue, color, black = look(slide, config, stages)
    margin_px = margin_in_px(slide.info, config.margin_um)
    mask = tissue.dilated(margin_px)
    guard = GlassGuard(slide.info, color, margin_px, black)
    with stages.stage("survey") as progress:
        survey = survey_glass(slide, mask, guard, config.workers, progress)
    return Findings(tissue, mask, color, guard, survey)


def expected_digest(
    slide: Slide, config: ConversionConfig, progress: StageProgress = untold
) -> tuple[str, str]:
    """The digest that a conversion's plan would have, and the source's SHA-256, before a pixel is read.

    Raises:
        SlideReadError, WeightsError: as `prepare`.
    """
    sha256 = identify(slide, config, progress).sha256
    return digest_by(config, sha256), sha256


def digest_by(config: ConversionConfig, sha256: str) -> str:
    """The digest that a conversion of the source of this SHA-256 has.

    Raises:
        WeightsError: as `prepare`.
    """
    codec = _model_codec(config)
    model = None if codec is None else codec.describe()
    return conversion_digest(sha256, config, _tissue_sha256(config), model)


def plan_flaw(slide: Slide, sha256: str, config: ConversionConfig, plan: ConversionPlan) -> str:
    """How a plan that has the digest of this conversion is not its plan, in words; "" if nothing is wrong.

    `sha256` is the digest of the slide's file.

    All is compared that no pixel decides; which tiles are glass is looked at tile by tile when the file is
    held against its source.

    Raises:
        SlideReadError, WeightsError: as `prepare`.
    """
    codec = _model_codec(config)
    model = None if codec is None else codec.describe()
    without = nameless(slide, config.workers) if config.deidentify else None
    try:
        shrinking = _shrinking(slide, config)
        own = _planned(slide.info, plan.source, plan.digest, config, None, shrinking, model, without)
    except ConfigError as exc:
        return f"plan-differs: file: no conversion as this one can be made of the source ({exc.message})"
    if plan.source.sha256 != sha256:
        return "source-differs: file: it says that it was made from another file"
    found, expected = (_decided(one) for one in (plan, own))
    for name in expected:
        if found[name] != expected[name]:
            return f"plan-differs: file: its {name} is not what this conversion has"
    return ""


def _decided(plan: ConversionPlan) -> dict[str, object]:
    """A plan as JSON values, without what it says of its source's name, and what pixels decide."""
    values = json.loads(json.dumps(plan.to_json()))
    for level in values["levels"]:
        del level["actions"]
    by_pixels = ("notes", "big", *(["background"] if plan.config["background"] == "auto" else []))
    return {name: value for name, value in values.items() if name not in ("source", *by_pixels)}


def settings_digest(config: ConversionConfig) -> str:
    """SHA-256 over all but the source that a user chose: options, mask or network, model.

    Raises:
        UnknownModelError, CodecUnavailableError, WeightsError: what was chosen is not here.
    """
    codec = _model_codec(config)
    model = None if codec is None else codec.describe()
    facts = [_tissue_sha256(config), model, config.lasting()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def kept_model(config: ConversionConfig) -> str | None:
    """The name of the file in which this machine keeps a neural codec's model that not every machine has.

    None where the file carries the model, or there is none.

    Raises:
        SlideWriteError: the model cannot be kept.
    """
    return _kept_model(_model_codec(config), config)


def _kept_model(codec: ModelCodec | None, config: ConversionConfig) -> str | None:
    return None if codec is None or config.embed_model else codec.keep_model()


def _model_codec(config: ConversionConfig) -> ModelCodec | None:
    """The codec, if it has a model."""
    if config.codec not in NEURAL_CODECS:
        return None
    return cast(ModelCodec, create_codec(config.codec, config.codec_options()))


def _shrinking(slide: Slide, config: ConversionConfig) -> tuple[bool, ...]:
    """Which levels the lossless road makes smaller, by a few of their tiles; none where it is not taken."""
    if not config.lossless:
        return ()
    return levels_that_shrink(slide, create_transcoder(config.codec, config.restorable))


def look(slide: Slide, config: ConversionConfig, stages: Stages) -> tuple[TissueMask, GlassColor, TissueMask]:
    """The tissue without margin, how bare glass looks, and where the slide is filled with black.

    The overview for all of them ends with this call.
    """
    if config.mask is None:
        _segmenter(config).check(slide)
    with stages.stage("overview") as progress:
        overview = read_overview(slide, config.workers, progress)
        filler = find_filler(overview)
    with stages.stage("segment") as progress:
        tissue = find_tissue(slide, overview, config, progress)
        if config.mask is None:
            tissue = without_filler(tissue, filler.black)
    return tissue, fit_glass_color(overview, tissue, filler), filler.black


def find_tissue(
    slide: Slide, overview: Overview, config: ConversionConfig, progress: StageProgress
) -> TissueMask:
    """The tissue, without margin: from the mask file if there is one, else by the segmenter."""
    if config.mask is not None:
        return read_mask(config.mask, slide.info.size)
    return _segmenter(config).segment(slide, overview, config.workers, progress)


def _segmenter(config: ConversionConfig) -> Segmenter:
    if config.segmenter == "threshold":
        return ThresholdSegmenter()
    return UnetSegmenter(config.weights or SHIPPED, config.magnification, config.hole_um, config.speck_um)


def _tissue_sha256(config: ConversionConfig) -> str | None:
    """The digest of the file that decides what tissue is: the mask, or the network."""
    if config.mask is not None:
        return file_sha256(config.mask)
    if config.glass == "keep" or config.segmenter != "unet":
        return None
    return load_weights(config.weights or SHIPPED).sha256


def identify(slide: Slide, config: ConversionConfig, progress: StageProgress = untold) -> SourceIdentity:
    """Name, size and SHA-256 of a source, and what it was made from; no name where none is wanted."""
    path, origin = slide.info.path, None
    if isinstance(slide, ConvertedSlide):
        behind = slide.provenance.plan.source
        origin = behind.origin_sha256 or behind.sha256
    name = None if config.deidentify else path.name
    size, sha256 = slide_identity(path, progress)
    return SourceIdentity(name, size, sha256, origin)


def slide_identity(path: Path, progress: StageProgress = untold) -> tuple[int, str]:
    """The bytes of a slide and its SHA-256; of many files over their digests, in the order of their names.

    Raises:
        SlideReadError: a file of it cannot be read.
    """
    parts = slide_parts(path)
    if len(parts) == 1:
        return _size(path), file_sha256(path, progress)
    digests, total = hashlib.sha256(), sum(map(_size, parts))
    done = 0

    def further(read: int, _: int) -> None:
        progress(done + read, total)

    for part in parts:
        digests.update(bytes.fromhex(file_sha256(part, further)))
        done += _size(part)
    return total, digests.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as exc:
        raise SlideReadError(reason(exc), path) from exc


def file_sha256(path: Path, progress: StageProgress = untold) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        SlideReadError: the file cannot be read.
    """
    check_file(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                progress(file.tell(), total)
    except OSError as exc:
        raise SlideReadError(reason(exc), path) from exc
    return digest.hexdigest()
