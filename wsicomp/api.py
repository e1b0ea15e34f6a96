"""What commands do, as functions: `import wsicomp` offers them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.comparison import Comparison, ComparisonOptions, compare_slides
from wsicomp.concurrency import available_cores
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import convert_slide, segment_slide
from wsicomp.conversion.report import ConversionReport
from wsicomp.conversion.restore import RestoreReport, restore_slide
from wsicomp.formats.identity import slide_identity
from wsicomp.formats.opening import open_slide, open_source
from wsicomp.inputs import check_file
from wsicomp.progress import Progress, Stages, progress_raises_through
from wsicomp.verification.verify import Verification, verify_slide

StrPath = str | os.PathLike[str]


def convert(
    source: StrPath,
    target: StrPath,
    config: ConversionConfig | None = None,
    *,
    audit: StrPath | None = None,
    on_progress: Progress | None = None,
) -> ConversionReport:
    """Convert a slide into a smaller one, and return what was done.

    The target appears under its name only when it is complete and verified.

    Args:
        source: SVS, tiled TIFF, or what else OpenSlide reads.
        target: The file to write: `.svs`, `.tif`, `.tiff` or `.btf`.
        config: By default glass becomes white and tissue is kept byte for byte where it can be.
        audit: Where a picture of what was removed goes, as PNG or JPEG.
        on_progress: Called with the stage, what is done of it, and its total.

    Raises:
        ConfigError: What the config asks for cannot be made of this source.
        SlideReadError: The source cannot be read, or changed meanwhile.
        SlideWriteError: The target cannot be written, has no room, or exists.
        VerificationError: What was written is not what was planned; nothing is left of it.

    Example:
        >>> report = wsicomp.convert("slide.svs", "small.svs")  # doctest: +SKIP
        >>> print(f"{report.saved:.0%} saved, verified: {report.verified}")  # doctest: +SKIP
        68% saved, verified: True
    """
    return convert_slide(source, target, config, on_progress, None if audit is None else Path(audit))


@progress_raises_through
def segment(
    source: StrPath,
    config: ConversionConfig | None = None,
    *,
    on_progress: Progress | None = None,
) -> NDArray[np.bool_]:
    """Find the tissue of a slide.

    Args:
        source: SVS, tiled TIFF, or what else OpenSlide reads.
        config: Its tissue part says how; by default the U-Net at 2.5x.
        on_progress: As for `convert`.

    Returns:
        (rows, columns) bool, True where there is tissue, without a margin. It covers the whole slide: a pixel
        of the mask is `width / columns` level-0 pixels wide.

    Raises:
        SlideReadError: The source cannot be read, or does not say how large a pixel is.
        WeightsError: The network is not what its manifest says.

    Example:
        >>> mask = wsicomp.segment("slide.svs")  # doctest: +SKIP
        >>> print(f"{mask.mean():.1%} of the slide is tissue")  # doctest: +SKIP
        21.4% of the slide is tissue
    """
    config = config or ConversionConfig()
    with closing(open_slide(source, config.output.z)) as slide:
        return segment_slide(slide, config, None, Stages(on_progress)).pixels


@progress_raises_through
def verify(
    file: StrPath,
    against: StrPath | None = None,
    *,
    thorough: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Verification:
    """Check a written file, and hold it against its source where one is given.

    Args:
        file: What `convert` wrote, or any tiled TIFF.
        against: The source that it was made from.
        thorough: Look for tissue among what was taken for glass once more, by the source alone.
        workers: Threads; one a core by default.
        on_progress: As for `convert`.

    Returns:
        What was found: `problems` is empty where the file is sound.

    Raises:
        SlideReadError: A file cannot be read at all.

    Example:
        >>> found = wsicomp.verify("small.svs", "slide.svs")  # doctest: +SKIP
        >>> for problem in found.problems:  # doctest: +SKIP
        ...     print(problem.code, problem.place, problem.message)
    """
    path, cores = Path(file), workers or available_cores()
    check_file(path)
    with Stages(on_progress).stage("verify") as progress:
        if against is None:
            return verify_slide(path, None, None, cores, progress, thorough=thorough)
        source = Path(against)
        check_file(source)
        with closing(open_source(source, path)) as slide:
            sha256 = slide_identity(source)[1]
            return verify_slide(path, slide, sha256, cores, progress, thorough=thorough)


def restore(
    file: StrPath,
    target: StrPath,
    *,
    overwrite: bool = False,
    trust: bool = False,
    on_progress: Progress | None = None,
) -> RestoreReport:
    """Write the file again that a restorable conversion was made from, byte for byte.

    Args:
        file: What `convert` wrote with `restorable=True`.
        target: Where the source's file goes.
        overwrite: Replace what is there already.
        trust: Restore a file too that states a far larger source than its bytes could make.
        on_progress: As for `convert`.

    Raises:
        SlideReadError: The file is no restorable conversion, or is damaged.
        SlideWriteError: The target cannot be written, has no room, or exists.

    Example:
        >>> config = wsicomp.ConversionConfig.preset("archive-lossless")
        >>> wsicomp.convert("slide.svs", "kept.tiff", config)  # doctest: +SKIP
        >>> wsicomp.restore("kept.tiff", "again.svs")  # doctest: +SKIP
    """
    return restore_slide(file, target, overwrite, on_progress=on_progress, trust=trust)


def compare(
    sources: Sequence[StrPath],
    out: StrPath,
    options: ComparisonOptions | None = None,
    *,
    drawn: int = 20,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> Comparison:
    """Measure what each codec saves on slides of your own, and does to their tissue.

    Args:
        sources: Slides, or one folder of them.
        out: The folder of the results: a page, JSON, CSV and Markdown.
        options: Codecs, ways with glass, how many tiles stand for a slide.
        drawn: So many slides of a folder stand for all of it.
        overwrite: Write into `out` though it is not empty.
        on_progress: As for `convert`.

    Raises:
        ConfigError: The options do not go together.
        SlideReadError: There is no slide to compare.
        SlideWriteError: The results cannot be written.

    Example:
        >>> found = wsicomp.compare(["slide.svs"], "look")  # doctest: +SKIP
        >>> for row in found.summary:  # doctest: +SKIP
        ...     print(row.codec, row.glass, row.target_bytes)
    """
    paths = [Path(source) for source in sources]
    return compare_slides(paths, Path(out), options, drawn, overwrite=overwrite, on_progress=on_progress)
