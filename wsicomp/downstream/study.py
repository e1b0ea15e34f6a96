"""A study from settings to findings: compress, train, test. What is done is kept, and never done again.

The folder of a study:

    rates.json                 sizes and PSNR
    networks/ROW-SEED          weights of a network; ROW is rate-N, or few-N for few uncompressed cases
    cells/ROW-SEED.json        what it learnt from, its curve, and its Dice on every test case at every rate
    results.json, *.csv, index.html    what they tell together

Each cell has a key: a hash of its data, settings, row and seed. One with another key is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from wsicomp.downstream.material import StudyMaterial
from wsicomp.downstream.settings import StudySettings
from wsicomp.downstream.study_results import RateFigures, StudyFindings, StudyRow, TrainedNetwork
from wsicomp.errors import TrainingError
from wsicomp.files.atomic import make_folder
from wsicomp.files.inputs import is_file
from wsicomp.files.json_values import parsed_text, plain
from wsicomp.files.tables import write_text
from wsicomp.progress import Progress, StageProgress, Stages, progress_raises_through, utc_now
from wsicomp.version import __version__

_RATES, _SETTINGS = "rates.json", "settings.json"
_OWN = (_RATES, _SETTINGS)


@progress_raises_through
def run_study(settings: StudySettings, folder: Path, on_progress: Progress | None = None) -> StudyFindings:
    """Do what is left of a study in `folder`, and return all that it found.

    Raises:
        TrainingError: data, labels or patients are missing or too few, or the folder holds other files.
        VolumeReadError: a volume cannot be read.
        SlideWriteError: a file of the study cannot be written.
    """
    stages = Stages(on_progress)
    if folder.is_dir() and any(folder.iterdir()) and not any(is_file(folder / name) for name in _OWN):
        raise TrainingError("is not empty, and holds no study; name another folder", folder)
    with stages.stage("read") as progress:
        material = open_material(settings, progress)
    for name in ("cells", "networks"):
        make_folder(folder / name)
    write_text(folder / _SETTINGS, json.dumps(asdict(settings), indent=1), overwrite=True)
    rates = _rates(settings, material, folder, stages)
    networks = tuple(
        _network(settings, material, row, seed, folder, stages)
        for seed in range(1, settings.seeds + 1)
        for row in rows_of_study(settings)
    )
    return StudyFindings(
        settings.kind,
        material.title,
        settings.margin,
        rates,
        networks,
        material.patients,
        material.facts,
        f"{utc_now()}, wsicomp {__version__}",
    )


def open_material(settings: StudySettings, progress: StageProgress) -> StudyMaterial:
    """Read the data of a study.

    Raises:
        TrainingError: data, labels or patients are missing or too few.
        VolumeReadError: a volume cannot be read.
    """
    if settings.kind == "slides":
        from wsicomp.downstream.slide_material import SlideMaterial

        return SlideMaterial(settings, progress)
    from wsicomp.downstream.volume_material import VolumeMaterial

    return VolumeMaterial(settings, progress)


def rows_of_study(settings: StudySettings) -> Iterator[StudyRow]:
    """Yield every row of which networks are trained, that of uncompressed data first."""
    rates = settings.rates if settings.rows == "all" else (1, *settings.few_shot)
    yield from (StudyRow(rate) for rate in rates)
    yield from (StudyRow(rate, is_few=True) for rate in settings.few_shot)


def _rates(
    settings: StudySettings, material: StudyMaterial, folder: Path, stages: Stages
) -> tuple[RateFigures, ...]:
    """Return sizes and PSNR of every rate, from the file where it has them for these data."""
    kept = _kept_rates(folder / _RATES, material.digest)
    found = []
    for rate in settings.rates:
        if rate not in kept:
            with stages.stage(f"compress {rate} times") as progress:
                kept[rate] = material.figures(rate, progress)
        found.append(kept[rate])
    values = {"key": material.digest, "rates": [asdict(each) for each in kept.values()]}
    write_text(folder / _RATES, json.dumps(values, indent=1), overwrite=True)
    return tuple(found)


def _kept_rates(path: Path, key: str) -> dict[int, RateFigures]:
    try:
        values = json.loads(path.read_text("utf-8"))
        if values["key"] != key:
            return {}
        rates = parsed_text(json.dumps(values["rates"]), tuple[RateFigures, ...])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    return {each.rate: each for each in rates}


def _network(
    settings: StudySettings,
    material: StudyMaterial,
    row: StudyRow,
    seed: int,
    folder: Path,
    stages: Stages,
) -> TrainedNetwork:
    """Return a trained network with all scores; what its file in `cells` has is not done again."""
    name = f"{row.name}-{seed}"
    cell, network = folder / "cells" / f"{name}.json", folder / "networks" / name
    key = _key(settings, material.digest, row, seed)
    found = _kept_network(cell, key) if network.exists() else None
    if found is None:
        with stages.stage(f"train {name}") as progress:
            found = material.train(row, seed, key, network, progress)
        _write_cell(cell, found)
    for rate in settings.rates:
        if str(rate) not in found.scores:
            with stages.stage(f"test {name}") as progress:
                scores = material.scores(network, rate, progress)
            found = replace(found, scores={**found.scores, str(rate): scores})
            _write_cell(cell, found)
    asked = {str(rate): found.scores[str(rate)] for rate in settings.rates}
    return replace(found, scores=asked)


def _key(settings: StudySettings, digest: str, row: StudyRow, seed: int) -> str:
    facts = [
        digest,
        asdict(settings.learning),
        settings.network,
        _content(settings.training),
        asdict(row),
        seed,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _content(name: str) -> str:
    return Path(name).read_text("utf-8") if name else ""


def _kept_network(path: Path, key: str) -> TrainedNetwork | None:
    """Return what a cell's file holds, None where it is not there, damaged, or of another study."""
    try:
        found = parsed_text(path.read_text("utf-8"), TrainedNetwork)
    except (OSError, ValueError):
        return None
    return found if found.key == key else None


def _write_cell(path: Path, found: TrainedNetwork) -> None:
    write_text(path, json.dumps(plain(found), indent=1), overwrite=True)
