"""Converts one slide, from its file to a smaller file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from openslide import PROPERTY_NAME_QUICKHASH1, OpenSlideError

from wsicomp.config import ConversionConfig
from wsicomp.conversion.archive_form import is_pack_name, pack_whole
from wsicomp.conversion.larger import copy_source, growth_notes, takes_source
from wsicomp.conversion.outcome import lossy_recipes
from wsicomp.conversion.plan_checks import PlanCheck
from wsicomp.conversion.planning import least_bytes
from wsicomp.conversion.prepare import KnownSlide, Prepared, prepare
from wsicomp.conversion.report import ConversionReport, describe_conversion, describe_copy
from wsicomp.conversion.tile_stream import StreamOptions, TileStream, stream_level
from wsicomp.conversion.tissue_loss import TissueLoss, measure_loss
from wsicomp.deidentification.deidentify import drawn_thumbnail
from wsicomp.errors import (
    ConfigError,
    SlideReadError,
    SourceChangedError,
    UnsupportedSlideError,
    VerificationError,
)
from wsicomp.files.atomic import check_outputs
from wsicomp.files.attributes import Attributes
from wsicomp.files.inputs import given_output, given_path
from wsicomp.files.limits import check_free_space
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.output_tile import MadeTile
from wsicomp.formats.converted.source_remainder import SourceRemainder
from wsicomp.formats.converted.writer import PyramidWriter
from wsicomp.formats.lower_levels import lowered_properties
from wsicomp.formats.opening import open_chosen
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.formats.slide_files import stamp_of
from wsicomp.formats.tiff.quickhash import quickhash
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.formats.tiff.xmp import MOST_PACKET_BYTES
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan
from wsicomp.plan.provenance import Provenance, texts_bytes
from wsicomp.progress import Progress, StageProgress, Stages, progress_raises_through
from wsicomp.slide import SlideInfo
from wsicomp.text.figures import as_bytes
from wsicomp.tissue.audit import audit_picture
from wsicomp.tissue.findings import Findings, inspect_overview
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overlay import PICTURES, save_picture
from wsicomp.verification.verify import Verification, verify_slide

_MOST_PROPERTIES = 20_000
_SUFFIXES = (".svs", ".tif", ".tiff", ".btf")


@progress_raises_through
def convert_slide(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    config: ConversionConfig | None = None,
    on_progress: Progress | None = None,
    audit: Path | None = None,
    known: KnownSlide | None = None,
    root: Path | None = None,
    check_plan: PlanCheck | None = None,
) -> ConversionReport:
    """Convert one slide. The target appears under its name only when it is complete and verified.

    Examples:
        >>> report = convert_slide("slide.svs", "small.svs")  # doctest: +SKIP
        >>> report.saved  # doctest: +SKIP
        0.68

    Args:
        source: The slide.
        target: The file to write.
        config: By default `ConversionConfig()`.
        on_progress: Called with the name of the stage, the count of what is done, and its total.
        audit: The file for a picture of the removed tiles, written just before the target.
        known: Facts of an earlier conversion of the slide by the same options about tissue.
        root: The tree of target and picture, below which no folder may be a link; None allows links.
        check_plan: Called with the plan before anything is written; it raises what keeps the plan from being
            carried out, as `check_target_name` and `check_loss` do.

    Raises:
        ConfigError: the config cannot be carried out on this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read, or changed meanwhile.
        SlideWriteError: the target cannot be written, has no room, or exists; or the model cannot be kept.
        VerificationError: the written file differs from the plan; the target is as it was.
        NothingGainedError: the target would be larger, and `keep_if_larger` is "fail".
    """
    source, target = given_path(source), given_output(target)
    config = ConversionConfig.given(config)
    stages = Stages(on_progress)
    if is_pack_name(target):
        return pack_whole(source, target, config, on_progress, audit, root)
    _check_outputs(source, config, audit, target)
    stamp = stamp_of(source)
    with closing(open_chosen(source, config.output)) as slide:
        if config.codec.restorable:
            _check_restorable(slide, target)
        prepared = prepare(slide, config, stages, keep_model=True, known=known)
        if check_plan is not None:
            check_plan(prepared.plan)
        check_free_space(target, least_bytes(slide, prepared.plan), config.run.min_free)
        icc_profile = (prepared.deidentified or slide).info.icc_profile
        with PyramidWriter(
            target,
            prepared.plan,
            icc_profile,
            config.run.overwrite,
            prepared.embedded_model,
            config.run.min_free,
            root,
            Attributes.of(source, with_time=config.run.keep_times),
        ) as writer:
            with stages.stage("write") as progress:
                provenance = write_pyramid(writer, slide, prepared, config, progress)
            found, loss = None, None
            if config.run.verify:
                with stages.stage("verify") as progress:
                    found = _verify(writer.partial, slide, prepared, config.run.workers, progress)
                    loss = _loss_of(found, provenance) or _measured_loss(
                        writer.partial, slide, prepared, provenance, config.run.workers
                    )
            if stamp_of(source) != stamp:
                raise SourceChangedError("it changed while it was read; nothing was written", source)
            made_bytes = writer.partial.stat().st_size
            takes_own = takes_source(config, slide, target, prepared.plan.source.bytes, made_bytes)
            if not takes_own:
                _write_audit(audit, slide, prepared, config, root, Attributes.of(source))
                writer.commit()
        if takes_own:
            with stages.stage("copy") as progress:
                copy_source(slide, target, prepared.plan, config, root, progress)
            return describe_copy(slide, target, prepared.plan, made_bytes, stages, audit)
        report = describe_conversion(
            source, target, provenance, found, stages, prepared.kept_model, writer.note, loss, slide
        )
        notes = growth_notes(config, slide, target, report.saved)
        return replace(report, notes=(*report.notes, *notes))


def _check_restorable(slide: Slide, target: Path) -> None:
    """Check that a TIFF can give a slide's file back.

    Raises:
        ConfigError: it cannot.
    """
    if slide.provenance is not None:
        message = "it is a conversion, and only a source can be kept restorable; take its source"
        raise ConfigError(message, slide.info.path)
    if not isinstance(slide, TiffSlide):
        name = f"{target.stem}{PACK_SUFFIX}"
        message = f"its files do not come back from a TIFF; name the target {name}, which packs them whole"
        raise ConfigError(message, slide.info.path)


@progress_raises_through
def plan_slide(
    source: str | os.PathLike[str],
    config: ConversionConfig | None = None,
    on_progress: Progress | None = None,
    audit: Path | None = None,
) -> ConversionPlan:
    """Return the plan by which `convert_slide` would write; nothing but `audit` is written.

    Examples:
        >>> plan_slide("slide.svs").container  # doctest: +SKIP
        'svs'

    Raises:
        ConfigError: the config cannot be carried out on this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read.
        SlideWriteError: the audit picture cannot be written.
    """
    config = ConversionConfig.given(config)
    with prepared_slide(source, config, Stages(on_progress), audit) as (_, prepared):
        return prepared.plan


@contextmanager
def prepared_slide(
    source: str | os.PathLike[str], config: ConversionConfig, stages: Stages, audit: Path | None
) -> Iterator[tuple[Slide, Prepared]]:
    """Yield an open slide and all decisions of its conversion; `audit` is a picture of what would be removed.

    Raises:
        ConfigError: the config cannot be carried out on this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read.
        SlideWriteError: the audit picture cannot be written.
    """
    _check_outputs(given_path(source), config, audit)
    with closing(open_chosen(source, config.output)) as slide:
        prepared = prepare(slide, config, stages)
        _write_audit(audit, slide, prepared, config)
        yield slide, prepared


def segment_slide(slide: Slide, config: ConversionConfig, audit: Path | None, stages: Stages) -> TissueMask:
    """Return the tissue of a slide without margin; with `audit`, draw what a conversion would remove.

    Raises:
        SlideReadError: the source cannot be read.
        WeightsError: the network is missing, or differs from its manifest.
        SlideWriteError: the picture cannot be written.
    """
    if audit is None:
        return inspect_overview(slide, config, stages)[0]
    _check_outputs(slide.info.path, config, audit)
    prepared = prepare(slide, config, stages)
    _write_audit(audit, slide, prepared, config)
    assert prepared.findings is not None, "glass is looked for"
    return prepared.findings.tissue


def _check_outputs(source: Path, config: ConversionConfig, audit: Path | None, *others: Path) -> None:
    if audit is not None and config.glass.fill == "keep":
        raise ConfigError("glass is kept: an audit picture has nothing to show; leave it out")
    outputs = [*others] if audit is None else [*others, audit]
    check_outputs(outputs, (source, config.tissue.mask, config.tissue.weights), config.run.overwrite)
    for target in others:
        if target.suffix.lower() not in _SUFFIXES:
            names = ", ".join((*_SUFFIXES, PACK_SUFFIX))
            raise ConfigError(
                f"the target {target} is a TIFF or a packed slide; end its name in one of {names}"
            )
    if audit is not None and audit.suffix.lower() not in PICTURES:
        raise ConfigError(f"the audit picture {audit} is PNG or JPEG; end its name in .png or .jpg")


def _write_audit(
    path: Path | None,
    slide: Slide,
    prepared: Prepared,
    config: ConversionConfig,
    root: Path | None = None,
    alike: Attributes | None = None,
) -> None:
    """Write the overview with the removed areas drawn on it; do nothing without `path`."""
    if path is None:
        return
    found = prepared.findings
    assert found is not None, "glass is looked for"
    picture = audit_picture(found.bare.overview, slide.info.levels[0], found.classes.kinds[0], found.mask)
    save_picture(picture, path, config.run.overwrite, root, alike)


def write_pyramid(
    writer: PyramidWriter,
    slide: Slide,
    prepared: Prepared,
    config: ConversionConfig,
    progress: StageProgress,
    stream: TileStream = stream_level,
    is_outline: bool = False,
) -> Provenance:
    """Write the prepared levels, images and provenance; return the provenance.

    `stream` makes the tiles; in an outline it makes one byte of each.

    Raises:
        SlideReadError: a tile of the source cannot be read.
        SlideWriteError: the target cannot be written, or has no room.
        UnsupportedSlideError: the source's texts are larger than a target can carry.
    """
    properties = carried_properties(slide, config)
    _check_texts(slide.info, prepared.plan, properties)
    run, codec, output = config.run, config.codec, config.output
    options = StreamOptions(prepared.paint, run.strict, codec.restorable, output.deidentify)
    total = sum(level.grid.count for level in prepared.plan.levels)
    done = 0
    for part in prepared.plan.directories:
        if isinstance(part, LevelPlan):
            with closing(stream(slide, part, options, run.workers)) as tiles:
                writer.write_level(part, _counted(tiles, progress, done, total))
            done += part.grid.count
        else:
            image = slide.info.associated_images[part]
            if prepared.deidentified is not None:
                image = drawn_thumbnail(slide, image, prepared.deidentified.unproved)
            writer.write_associated(part, image)
    restoration = None
    if config.codec.restorable:
        assert isinstance(slide, TiffSlide), "the plan refuses others"
        restoration = writer.append(SourceRemainder(slide, prepared.plan, writer.partial, is_outline))
    return writer.finish(mask_figures(prepared.findings), properties, restoration)


def _check_texts(info: SlideInfo, plan: ConversionPlan, properties: Mapping[str, str]) -> None:
    """Check the size of the source's texts against what a target can carry.

    Raises:
        UnsupportedSlideError: they take more.
    """
    need = texts_bytes(plan.description, properties)
    if need > MOST_PACKET_BYTES:
        found = (
            f"its texts may take {as_bytes(need)} in a target, expected at most {as_bytes(MOST_PACKET_BYTES)}"
        )
        raise UnsupportedSlideError(
            f"{found}; convert with `deidentify=True`, which leaves them out", info.path
        )


def _counted(tiles: Iterator[MadeTile], progress: StageProgress, done: int, total: int) -> Iterator[MadeTile]:
    for number, tile in enumerate(tiles, done + 1):
        progress(number, total)  # before the tile: the writer does not come back after the last one
        yield tile


def _verify(
    partial: Path, slide: Slide, prepared: Prepared, workers: int, progress: StageProgress
) -> Verification:
    sha256, regions = prepared.plan.source.sha256, prepared.regions
    found = verify_slide(partial, slide, sha256, workers, progress, is_fresh=True, regions=regions)
    if found.problems:
        more = f" and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
        message = f"what was written failed its check: {found.problems[0]}{more}; nothing was written"
        raise VerificationError(message, slide.info.path)
    largest = slide.info.levels[0]
    own = largest.grid.count - len({*largest.absent, *largest.blank})
    if own and sum(place.startswith("level 0 ") for place in (*found.flawed, *found.lost)) >= own:
        message = "not one of its tiles can be decoded; nothing was written"
        raise SlideReadError(message, slide.info.path, "level 0")
    return found


def _loss_of(found: Verification, provenance: Provenance) -> TissueLoss | None:
    """Return what was measured of each class of place together; None without regions, or with a guard."""
    if any(record.guarded for record in provenance.levels):
        return None  # it has measured every tile
    measured = [(each.measured_tiles, each.least_ssim) for each in found.classes]
    least = [ssim for _, ssim in measured if ssim is not None]
    return TissueLoss(sum(tiles for tiles, _ in measured), min(least)) if least else None


def _measured_loss(
    partial: Path, slide: Slide, prepared: Prepared, provenance: Provenance, workers: int
) -> TissueLoss | None:
    """Return what a lossy codec without a guard cost tissue; None where there is nothing to measure."""
    levels = [
        (level, tuple(number for number, _ in lossy_recipes(level) if record.guarded_of(number) is None))
        for level, record in zip(prepared.plan.levels, provenance.levels, strict=True)
        if level.reduction == 1
    ]
    unguarded = [(level, numbers) for level, numbers in levels if numbers]
    return measure_loss(partial, slide, unguarded, prepared.paint, workers) if unguarded else None


def mask_figures(found: Findings | None) -> Mapping[str, Any] | None:
    """Return the figures of a tissue mask for the provenance; None where glass is kept."""
    if found is None:
        return None
    mask = found.mask
    return {
        "source": mask.source,
        "shape": list(mask.shape),
        "level0_px_per_mask_px": [mask.scale_x, mask.scale_y],
        "tissue_fraction_with_margin": mask.tissue_fraction,
        "rescued_tiles": found.rescued_tiles,
    }


def carried_properties(slide: Slide, config: ConversionConfig) -> Mapping[str, str]:
    """Return the source's properties as OpenSlide states them; de-identified, the vendor alone."""
    if config.output.deidentify:
        return {"openslide.vendor": slide.info.vendor}
    if slide.provenance is not None:
        if slide.provenance.shows_every_pixel:
            return slide.info.properties
        hashed = quickhash(slide)  # the source's is not this one's
        return _without_hash(slide.info.properties) | (
            {} if hashed is None else {PROPERTY_NAME_QUICKHASH1: hashed}
        )
    try:
        shown = lowered_properties(slide.shown().slide.properties, slide.info)
        found = _known_fields(shown, slide) | _own_properties(slide)
        # OpenSlide's hash is over all planes of a file.
        return _without_hash(found) if slide.info.planes else found
    except (SlideReadError, OpenSlideError):
        own = {"openslide.vendor": slide.info.vendor, "tiff.ImageDescription": slide.info.description}
        return {**slide.info.properties, **own}


def _known_fields(properties: dict[str, str], slide: Slide) -> dict[str, str]:
    """Return the properties without Aperio's fields beyond those that are parsed.

    The text itself holds them.
    """
    if len(properties) <= _MOST_PROPERTIES:
        return properties
    return {
        name: text
        for name, text in properties.items()
        if not name.startswith("aperio.") or name in slide.info.properties
    }


def _without_hash(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in properties.items() if name != PROPERTY_NAME_QUICKHASH1}


def _own_properties(slide: Slide) -> dict[str, str]:
    """Return the properties of the converted image, where OpenSlide states those of another image."""
    info, own = slide.info, {}
    if info.planes:
        own = {**info.properties, "tiff.ImageDescription": info.description}
        own |= {"openslide.comment": info.description} if info.vendor == "aperio" else {}
    if info.mpp is not None and info.mpp != slide.openslide_mpp:
        own |= {"openslide.mpp-x": f"{info.mpp.x:.17g}", "openslide.mpp-y": f"{info.mpp.y:.17g}"}
    return own
