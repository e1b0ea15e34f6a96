"""What becomes of a conversion that gains nothing: kept, refused, or the source's own file in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wsicomp.config import ConversionConfig
from wsicomp.errors import NothingGainedError
from wsicomp.files.copying import copy_file
from wsicomp.files.limits import check_free_space
from wsicomp.formats.base import Slide
from wsicomp.formats.slide_files import slide_parts
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.progress import StageProgress
from wsicomp.text.figures import as_bytes, as_percent


def batch_config(config: ConversionConfig) -> ConversionConfig:
    """Return a config as a batch carries it out: what gains nothing is the source's own file by default."""
    return config.changed(keep_if_larger="copy") if config.run.keep_if_larger == "auto" else config


def takes_source(
    config: ConversionConfig, slide: Slide, target: Path, source_bytes: int, made_bytes: int
) -> bool:
    """Return whether the source's own file is to stand at the target; `made_bytes` is the conversion's size.

    Raises:
        NothingGainedError: the conversion is larger, and `keep_if_larger` is "fail".
    """
    choice = config.run.keep_if_larger
    if choice == "fail" and made_bytes > source_bytes:
        raise NothingGainedError(
            f"its conversion is {as_percent(made_bytes / source_bytes - 1)} larger "
            f"({as_bytes(source_bytes)} -> {as_bytes(made_bytes)}); nothing was written: take another codec, "
            'or `keep_if_larger="keep"`',
            slide.info.path,
        )
    return choice == "copy" and made_bytes >= source_bytes and not any(obstacles(config, slide, target))


def growth_notes(config: ConversionConfig, slide: Slide, target: Path, saved: float) -> tuple[str, ...]:
    """Return why a conversion that gains nothing was kept where the source's own file was wanted."""
    if saved > 0 or config.run.keep_if_larger != "copy":
        return ()
    why = next(obstacles(config, slide, target), "")
    return (f"it gains nothing, and the source's own file cannot stand there: {why}",) if why else ()


def obstacles(config: ConversionConfig, slide: Slide, target: Path) -> Iterator[str]:
    """Yield in words why the source's own file cannot stand in the place of its conversion."""
    source, images = slide.info.path, slide.info.associated_images
    output = config.output
    if output.deidentify:
        yield "names would come along"
    if any(name in images for name in config.unwanted_images):
        yield "images that are to be left out would come along"
    if slide.info.left_out:
        yield "levels that are to be left out would come along"
    if slide.info.planes:
        yield "it has several focal planes"
    if output.levels != "source" or output.format != "auto" or config.codec.name == "none":
        yield "another form was asked for"
    if source.suffix.lower() != target.suffix.lower():
        yield f"its name would have to end in {source.suffix}"
    if len(slide_parts(source)) > 1:
        yield "it has several files"


def copy_source(
    slide: Slide,
    target: Path,
    plan: ConversionPlan,
    config: ConversionConfig,
    root: Path | None,
    progress: StageProgress,
) -> None:
    """Put the source's own file at the target, as it was when it was identified.

    Below `root` no folder may be a link; None allows links.

    Raises:
        SlideReadError: the source cannot be read, or changed meanwhile.
        SlideWriteError: the target cannot be written, has no room, or exists.
    """
    run = config.run
    check_free_space(target, plan.source.bytes, run.min_free)
    copy_file(slide.info.path, target, plan.source.sha256, run.overwrite, root, run.keep_times, progress)
