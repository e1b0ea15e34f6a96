"""Checking a file by its path, alone or beside its source: what the command and the library both call."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from wsicomp.concurrency.threads import available_cores
from wsicomp.config import REGION_WORDS, RegionConfig
from wsicomp.errors import ConfigError, SlideReadError
from wsicomp.files.inputs import check_file
from wsicomp.formats.identity import slide_identity
from wsicomp.formats.opening import open_source, open_tiff
from wsicomp.formats.packed.container import PackedSlide, is_pack
from wsicomp.formats.packed.unpack import verify_pack
from wsicomp.progress import Progress, Stages
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading
from wsicomp.verification.problems import Problem
from wsicomp.verification.verify import Verification, verify_slide


def verify_file(
    path: Path,
    source: Path | None = None,
    thorough: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
    roi: Path | None = None,
) -> Verification:
    """Return the findings of `verify_slide` for a file, and for its source where one is given.

    `workers` are threads, one a core by default. `roi` is the file of the regions that it is to keep, laid
    over the slide as the file says that it was when it was made.

    Raises:
        SlideReadError: there is no such file, or the source cannot be read.
        ConfigError: `roi` is given without a source.
        MaskError: the regions cannot be read or do not fit the source.
    """
    workers, stages = workers or available_cores(), Stages(on_progress)
    check_file(path)
    if is_pack(path):
        return _verified_pack(path, source, workers, stages)
    if roi is not None and source is None:
        raise ConfigError("regions lie on the source; name it by `against` beside `roi`")
    if str(roi) in REGION_WORDS and roi is not None and not roi.exists():
        raise ConfigError(f"{roi} is in no file, so nothing can be proved of it; leave `roi` out")
    if source is None:
        with stages.stage("verify") as progress:
            return verify_slide(path, None, None, workers, progress, thorough=thorough)
    check_file(source)
    with closing(open_source(source, path)) as slide, stages.stage("verify") as progress:
        sha256 = slide_identity(source)[1]
        reading = None if roi is None else _reading_of(path)
        regions = None if roi is None or reading is None else read_regions(roi, slide.info, reading)
        return verify_slide(path, slide, sha256, workers, progress, thorough=thorough, regions=regions)


def _verified_pack(path: Path, source: Path | None, workers: int, stages: Stages) -> Verification:
    """Return the findings of a packed slide, every byte of which is rebuilt; beside its source, if given."""
    with stages.stage("verify") as progress:
        found = verify_pack(path, workers, lambda _, done, total: progress(done, total))
    problems = [Problem("not-restorable", damage.file, damage.message) for damage in found]
    if source is not None:
        with PackedSlide(path) as slide:
            expected = slide.manifest.source.sha256
        if slide_identity(source)[1] != expected:
            problems.append(Problem("source-differs", "source", "the slide was packed from other files"))
    return Verification(tuple(problems), 0, has_provenance=True)


def _reading_of(path: Path) -> RegionReading | None:
    """Return how a conversion says that its regions were laid over its source; by default for other files.

    None for a file that cannot be read, of which `verify_slide` tells.

    Raises:
        SlideReadError: what it says is none of our options.
    """
    try:
        with closing(open_tiff(path)) as slide:
            stated = {} if slide.provenance is None else slide.provenance.plan.stated_config
    except SlideReadError:
        return None
    names = ("roi_margin_um", "roi_offset", "roi_mpp", "roi_threshold")
    try:
        config = RegionConfig(roi=Path(), **{name: stated[name] for name in names if name in stated})
    except ConfigError as exc:
        raise SlideReadError(f"it says of its regions what no conversion does: {exc.message}", path) from exc
    return RegionReading(config.roi_margin_um, None, config.offset, config.roi_mpp, config.roi_threshold)
