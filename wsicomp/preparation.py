"""Everything that a conversion reads and decides before it writes: identify, segment, survey, plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from wsicomp.codecs import TileCodec, create_codec
from wsicomp.config import ConversionConfig
from wsicomp.errors import SlideReadError
from wsicomp.pyramid.plan import ConversionPlan, SourceIdentity
from wsicomp.pyramid.planning import Glass, conversion_digest, plan_conversion
from wsicomp.pyramid.stream import Whitening
from wsicomp.slide import Slide
from wsicomp.stages import StageProgress, Stages
from wsicomp.tissue.glass import GlassColor, GlassGuard, TileKind, fit_glass_color, survey_glass
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.maskfile import read_mask
from wsicomp.tissue.segment import Overview, read_overview
from wsicomp.tissue.threshold import ThresholdSegmenter

_FINEST_MPP = 0.25
"""The um per px that a margin counts with where the source states none: the widest that it can need."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before writing: the plan, and what carries it out.

    `whitening` and `mask` (with its margin) are None where glass is kept. `rescued_tiles` are those that
    the mask called glass and the guard kept.
    """

    plan: ConversionPlan
    codec: TileCodec
    whitening: Whitening | None = None
    mask: TissueMask | None = None
    rescued_tiles: int = 0


def prepare(slide: Slide, config: ConversionConfig, stages: Stages) -> Prepared:
    """Identify, segment, survey and plan.

    Raises:
        ConfigError: what the config asks for cannot be made of this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read.
    """
    info = slide.info
    codec = create_codec("jpeg" if config.codec in ("auto", "copy") else config.codec, config.quality)
    with stages.stage("identify"):
        identity = identify(info.path, config)
        mask_sha256 = None if config.mask is None else file_sha256(config.mask)
        digest = conversion_digest(identity.sha256, config, mask_sha256)
    if config.glass == "keep":
        return Prepared(plan_conversion(info, identity, digest, config, codec, None), codec)
    with stages.stage("segment") as progress:
        tissue, color = _look(slide, config, progress)
    margin_px = config.margin_um / (info.mpp.mean if info.mpp else _FINEST_MPP)
    mask = tissue.dilated(margin_px)
    guard = GlassGuard(info, color, margin_px)
    with stages.stage("survey") as progress:
        survey = survey_glass(slide, mask, guard, config.workers, progress)
    plan = plan_conversion(info, identity, digest, config, codec, Glass(survey, color))
    rescued = sum(int((kinds == TileKind.RESCUED).sum()) for kinds in survey.kinds)
    return Prepared(plan, codec, Whitening(mask, guard, plan.background), mask, rescued)


def _look(slide: Slide, config: ConversionConfig, progress: StageProgress) -> tuple[TissueMask, GlassColor]:
    """The tissue without margin, and how bare glass looks; the overview for both ends with this call."""
    overview = read_overview(slide, config.workers, progress)
    tissue = find_tissue(slide, overview, config)
    return tissue, fit_glass_color(overview, tissue)


def find_tissue(slide: Slide, overview: Overview, config: ConversionConfig) -> TissueMask:
    """The tissue, without margin: from the mask file if there is one, else by the segmenter."""
    if config.mask is not None:
        return read_mask(config.mask, slide.info.size)
    return ThresholdSegmenter().segment(slide, overview)


def identify(path: Path, config: ConversionConfig) -> SourceIdentity:
    """Name, size and SHA-256 of a source file; no name where the user wants none."""
    return SourceIdentity(None if config.deidentify else path.name, path.stat().st_size, file_sha256(path))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        SlideReadError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise SlideReadError(exc.strerror or str(exc), path) from exc
