"""Chooses the form of a restorable conversion: a TIFF with the source's tiles, or a packed slide."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from wsicomp.config import ConversionConfig
from wsicomp.conversion.recipes import source_recipes
from wsicomp.conversion.report import ConversionReport, describe_pack
from wsicomp.conversion.settings import conversion_digest
from wsicomp.conversion.transcode_probe import LevelProbe
from wsicomp.errors import ConfigError, UnsupportedSlideError
from wsicomp.files.inputs import reading
from wsicomp.files.limits import check_free_space
from wsicomp.formats.opening import open_reader
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.formats.packed.pack import pack_slide
from wsicomp.formats.tiff.directories import TIFF_MAGIC
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.progress import Progress


def is_pack_name(target: Path) -> bool:
    """Return whether a target is to be a packed slide, by its name."""
    return target.suffix.lower() == PACK_SUFFIX


def can_pack(config: ConversionConfig) -> bool:
    """Return whether a conversion by this config may be a packed slide: it keeps the source, and no more."""
    return config.codec.restorable and config.output.format == "auto" and config.output.levels == "source"


def becomes_pack(source: Path, target: Path, config: ConversionConfig) -> bool:
    """Return whether a batch packs a slide whose target is called `target`.

    It does so by that name; else where the source is a TIFF that no other TIFF could give back.

    Raises:
        SlideReadError: a TIFF is damaged, so that somebody should look at it.
    """
    if is_pack_name(target) or not can_pack(config):
        return is_pack_name(target)
    with reading(source), source.open("rb") as file:
        is_tiff = file.read(4) in TIFF_MAGIC
    return is_tiff and is_best_packed(source, config)


def is_best_packed(source: Path, config: ConversionConfig) -> bool:
    """Return whether a restorable conversion of a slide has to be a packed slide.

    A TIFF holds only the slides whose tiles all become its own: tiled TIFFs of one kind. What is no TIFF is
    packed unseen.

    Raises:
        SlideReadError: a TIFF is damaged, so that somebody should look at it.
    """
    with reading(source), source.open("rb") as file:
        if file.read(4) not in TIFF_MAGIC:
            return True
    try:
        with closing(open_reader(source, config.output.z, any_plane=True)) as slide:
            if not isinstance(slide, TiffSlide):
                return True
            source_recipes(slide.info, config, (LevelProbe(True),) * len(slide.info.levels))
    except (UnsupportedSlideError, ConfigError):
        return True
    return False


def pack_whole(
    source: Path,
    target: Path,
    config: ConversionConfig,
    on_progress: Progress | None,
    audit: Path | None,
    root: Path | None,
) -> ConversionReport:
    """Pack all files of a slide, as a restorable config asks; return the report.

    Raises:
        ConfigError: the config asks for something else than the whole source.
        SlideReadError: the source cannot be read, or changed meanwhile.
        SlideWriteError: the target cannot be written, has no room, or exists.
        VerificationError: the target does not rebuild the source.
    """
    if not config.codec.restorable:
        raise ConfigError(
            f'a {PACK_SUFFIX} holds the whole source: take `preset="archive-lossless"`, or name a TIFF',
            target,
        )
    if config.output.format != "auto" or config.output.levels != "source":
        raise ConfigError(
            "a packed slide has the source's files alone; leave `format` and `levels` out", target
        )
    if audit is not None:
        raise ConfigError("glass is kept: an audit picture has nothing to show; leave it out")
    check_free_space(target, 0, config.run.min_free)
    run = config.run
    report = pack_slide(source, target, run.overwrite, run.workers, on_progress, root, run.keep_times)
    return describe_pack(report, conversion_digest(report.sha256, config))
