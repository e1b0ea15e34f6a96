"""Compare codecs on volumes, and write the results into a folder."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsicomp.errors import ConfigError, WsicompError
from wsicomp.files.atomic import check_empty, completed_files
from wsicomp.files.tables import write_text
from wsicomp.options import given_instance
from wsicomp.progress import Progress, progress_raises_through, utc_now
from wsicomp.text.paths import as_text
from wsicomp.version import SOFTWARE
from wsicomp.volumes.comparison.candidates import VolumeCandidate
from wsicomp.volumes.comparison.options import VolumeComparisonOptions
from wsicomp.volumes.comparison.page import comparison_page, page_script
from wsicomp.volumes.comparison.results import ComparedVolume, VolumeComparison, VolumeRow
from wsicomp.volumes.comparison.shown_slices import ShownSlices, shown_facts, slice_picker, source_script
from wsicomp.volumes.comparison.tables import volume_markdown, write_volume_csvs
from wsicomp.volumes.comparison.trials import Trial, survey_source, try_candidate
from wsicomp.volumes.formats.opening import open_volume_source


@progress_raises_through
def compare_volumes(
    sources: Sequence[Path],
    out: Path,
    options: VolumeComparisonOptions | None = None,
    command: str = "",
    on_progress: Progress | None = None,
) -> VolumeComparison:
    """Try codecs on volumes, and write page, tables and JSON into the folder `out`.

    Each candidate writes a file, which is read back and measured voxel by voxel. The results say which volume
    cannot be read, and which candidate makes no file.

    Raises:
        ConfigError: no volume is given, or regions do not go with the volumes.
        TargetExistsError: `out` is not empty, and `overwrite` is False.
        SlideWriteError: `out` cannot be written.
    """
    chosen = given_instance(VolumeComparisonOptions, options, "options", "VolumeComparisonOptions")
    if not sources:
        raise ConfigError("no volume to compare on; name one or more")
    chosen.check_for(len(sources))
    check_empty(out, chosen.overwrite)
    with completed_files(out, chosen.overwrite) as folder, tempfile.TemporaryDirectory() as scratch:
        run = _Run(chosen, folder, Path(scratch), len(sources), on_progress)
        for source, name in zip(sources, _names(sources), strict=True):
            run.compare(source, name)
        found = VolumeComparison(
            tuple(run.volumes),
            tuple(run.rows),
            tuple(each.label for each in chosen.candidates),
            SOFTWARE,
            utc_now(),
            command,
        )
        write_volume_results(found, run.shown, folder)
    return found


class _Run:
    """A comparison under way: what was found so far, and where it goes."""

    def __init__(
        self,
        options: VolumeComparisonOptions,
        folder: Path,
        scratch: Path,
        count: int,
        on_progress: Progress | None,
    ) -> None:
        self.options, self.folder, self.scratch, self.on_progress = options, folder, scratch, on_progress
        self.volumes: list[ComparedVolume] = []
        self.rows: list[VolumeRow] = []
        self.shown: list[dict[str, Any]] = []
        """What the page has to know of each volume of which it shows slices."""
        self.total = count * len(options.candidates)

    def compare(self, source: Path, name: str) -> None:
        """Try all candidates on one volume."""
        number = len(self.volumes)
        try:
            facts, counts = survey_source(source, name, self.options.modality)
            with closing(open_volume_source(source)) as opened:
                picker = slice_picker(facts, opened.info.geometry, self.options.shown_slices)
                script = source_script(len(self.shown), picker, opened.slices())
        except WsicompError as exc:
            self.volumes.append(ComparedVolume(name, error=exc.message))
            self._progress(number + 1, 0)
            return
        self.volumes.append(facts)
        roi, diffuse = self.options.roi_of(number), self.options.map_of(number)
        trial = Trial(source, facts, roi, diffuse, self.options.workers)
        tried = []
        for place, candidate in enumerate(self.options.candidates):
            row = self._try(trial, candidate, ShownSlices(picker), place)
            self.rows.append(row)
            tried.append({"label": row.candidate, "reason": row.reason})
            self._progress(number, place + 1)
        if any(not each["reason"] for each in tried):
            write_text(self.folder / f"volume-{len(self.shown)}.js", script)
            self.shown.append({**shown_facts(facts, counts, picker), "candidates": tried})

    def _try(self, trial: Trial, candidate: VolumeCandidate, shown: ShownSlices, place: int) -> VolumeRow:
        row = try_candidate(trial, candidate, self.scratch, shown.see)
        if row.is_done:
            volume = len(self.shown)
            write_text(self.folder / f"volume-{volume}-{place}.js", shown.script(volume, place))
        return row

    def _progress(self, volumes: int, candidates: int) -> None:
        if self.on_progress is not None:
            self.on_progress("compare", volumes * len(self.options.candidates) + candidates, self.total)


def write_volume_results(found: VolumeComparison, shown: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write page, JSON, Markdown and CSV of a comparison; `shown` is what the page's viewer knows.

    Raises:
        SlideWriteError: a file cannot be written.
    """
    write_text(folder / "page.js", page_script())
    write_text(folder / "index.html", comparison_page(found, shown))
    write_text(folder / "results.json", json.dumps(asdict(found), indent=1) + "\n")
    write_text(folder / "results.md", volume_markdown(found))
    write_volume_csvs(found, folder)


def _names(sources: Sequence[Path]) -> list[str]:
    """Return the names of sources without their folders; those that are alike get a number."""
    names = [as_text(source.name or source.resolve().name) for source in sources]
    alike, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if alike[name] > 1 else name)
    return found
