"""The functions of `import wsicomp`: each does what the command of its name does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsicomp.config import ConversionConfig, all_options
from wsicomp.conversion.convert import convert_slide, segment_slide
from wsicomp.conversion.plan_checks import check_asked
from wsicomp.conversion.report import ConversionReport
from wsicomp.conversion.restore import RestoreReport, restore_slide
from wsicomp.errors import SlideWriteError
from wsicomp.files.inputs import given_output, given_path
from wsicomp.formats.opening import open_chosen
from wsicomp.progress import Progress, Stages, progress_raises_through
from wsicomp.verification.files import verify_file
from wsicomp.verification.verify import Verification

if TYPE_CHECKING:
    from wsicomp.comparison import Comparison, ComparisonOptions

StrPath = str | os.PathLike[str]


def convert(
    source: StrPath,
    target: StrPath,
    config: ConversionConfig | None = None,
    *,
    audit: StrPath | None = None,
    on_progress: Progress | None = None,
) -> ConversionReport:
    """Convert a slide into a smaller one, and return the report.

    The target appears under its name only when it is complete and verified.

    Args:
        source: SVS, tiled TIFF, or any other format that OpenSlide reads.
        target: The file to write: `.svs`, `.tif`, `.tiff` or `.btf`.
        config: The options, as `ConversionConfig.of` or `ConversionConfig.preset` makes them. By default
            glass becomes white and tissue is kept byte for byte where it can be.
        audit: The file for a picture of the removed tiles, PNG or JPEG; None for no picture.
        on_progress: Called with the name of the stage, the count of what is done, and its total.

    Raises:
        ConfigError: The config cannot be carried out on this source.
        SlideReadError: The source cannot be read, or changed meanwhile.
        SlideWriteError: The target cannot be written, has no room, or exists.
        VerificationError: The written file differs from the plan; nothing is left of it.

    Examples:
        >>> report = wsicomp.convert("slide.svs", "small.svs")  # doctest: +SKIP
        >>> print(f"{report.saved:.0%} saved, verified: {report.verified}")  # doctest: +SKIP
        68% saved, verified: True

        Errors name options as `ConversionConfig.of` takes them, such as `overwrite=True`:

        >>> config = wsicomp.ConversionConfig.of(codec="jpeg", quality=80, overwrite=True)
        >>> wsicomp.convert("slide.svs", "small.svs", config)  # doctest: +SKIP
    """
    picture = None if audit is None else given_path(audit, SlideWriteError)
    asked = check_asked(given_output(target), ConversionConfig.given(config))
    return convert_slide(source, target, config, on_progress, picture, check_plan=asked)


@progress_raises_through
def segment(
    source: StrPath,
    config: ConversionConfig | None = None,
    *,
    on_progress: Progress | None = None,
) -> NDArray[np.bool_]:
    """Return the tissue of a slide as a mask.

    Args:
        source: SVS, tiled TIFF, or any other format that OpenSlide reads.
        config: Its tissue part says how; by default the U-Net at 2.5x.
        on_progress: As for `convert`.

    Returns:
        (rows, columns) bool, True where there is tissue, without a margin. It covers the whole slide: a pixel
        of the mask is `width / columns` level-0 pixels wide.

    Raises:
        SlideReadError: The source cannot be read, or does not say how large a pixel is.
        WeightsError: The network is missing, or differs from its manifest.

    Examples:
        >>> mask = wsicomp.segment("slide.svs")  # doctest: +SKIP
        >>> print(f"{mask.mean():.1%} of the slide is tissue")  # doctest: +SKIP
        21.4% of the slide is tissue
    """
    config = ConversionConfig.given(config)
    with closing(open_chosen(source, config.output)) as slide:
        return segment_slide(slide, config, None, Stages(on_progress)).pixels


@progress_raises_through
def verify(
    file: StrPath,
    against: StrPath | None = None,
    *,
    roi: StrPath | None = None,
    thorough: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Verification:
    """Check a written file, and compare it with its source where one is given.

    Args:
        file: A file that `convert` wrote, or any tiled TIFF.
        against: The source that it was made from.
        roi: The file of the regions that it is to keep; without it the file's own word says where they are.
        thorough: Let other programs read every tile of each level's last row and column, and many more.
        workers: Threads; by default as many as there are cores.
        on_progress: As for `convert`.

    Returns:
        The result: true where the file is sound; else `problems` says what is wrong.

    Raises:
        ConfigError: `workers` are not 1 to 1024, or `roi` is given without `against`.
        MaskError: `roi` cannot be read, or does not fit the source.
        SlideReadError: There is no such file, or `against` cannot be read. A `file` that is damaged, or is
            none that wsicomp writes, is a problem of the result.

    Examples:
        >>> found = wsicomp.verify("small.svs", "slide.svs")  # doctest: +SKIP
        >>> for problem in found.problems:  # doctest: +SKIP
        ...     print(problem.code, problem.place, problem.message)
    """
    source = None if against is None else given_path(against)
    threads = None if workers is None else all_options()["workers"].checked(workers)
    regions = None if roi is None else given_path(roi)
    return verify_file(given_path(file), source, thorough, threads, on_progress, regions)


def restore(
    file: StrPath,
    target: StrPath,
    *,
    overwrite: bool = False,
    trust: bool = False,
    on_progress: Progress | None = None,
) -> RestoreReport:
    """Write the source's file of a restorable conversion again, byte for byte.

    Args:
        file: A file that `convert` wrote by `ConversionConfig.of(restorable=True, glass="keep")`, or by the
            preset archive-lossless.
        target: The file to write.
        overwrite: Replace a file that is there already.
        trust: Restore a file even if it states a far larger source than its bytes could make.
        on_progress: As for `convert`.

    Raises:
        SlideReadError: The file is not a restorable conversion, or is damaged.
        SlideWriteError: The target cannot be written, has no room, or exists.

    Examples:
        >>> config = wsicomp.ConversionConfig.preset("archive-lossless")
        >>> wsicomp.convert("slide.svs", "kept.tiff", config)  # doctest: +SKIP
        >>> wsicomp.restore("kept.tiff", "again.svs")  # doctest: +SKIP
    """
    return restore_slide(file, target, overwrite, on_progress=on_progress, trust=trust)


def compare(
    sources: StrPath | Sequence[StrPath],
    out: StrPath,
    options: ComparisonOptions | None = None,
    *,
    drawn: int = 20,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> Comparison:
    """Measure how much each codec saves on your slides, and how it changes their tissue.

    Args:
        sources: A slide or several, or one folder of them.
        out: The folder of the results: a page, JSON, CSV and Markdown.
        options: Codecs, treatments of glass, and the count of tiles that stand for a slide, as
            `ComparisonOptions.of` makes them.
        drawn: The count of slides of a folder that stand for all of it.
        overwrite: Write into `out` though it is not empty.
        on_progress: As for `convert`.

    Raises:
        ConfigError: There is nothing to compare, or the options do not go together.
        SlideReadError: A path is empty, or a file is missing.
        SlideWriteError: The results cannot be written.

    Examples:
        >>> options = wsicomp.ComparisonOptions.of(codecs="copy,jpeg:80", glass="white")
        >>> found = wsicomp.compare(["slide.svs"], "look", options)  # doctest: +SKIP
        >>> for row in found.summary:  # doctest: +SKIP
        ...     print(row.codec, row.glass, row.target_bytes)
    """
    from wsicomp.comparison import compare_slides  # noqa: PLC0415 - its pages and charts are for this alone

    several = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    paths, folder = [given_path(source) for source in several], given_path(out, SlideWriteError)
    return compare_slides(paths, folder, options, drawn, overwrite=overwrite, on_progress=on_progress)
