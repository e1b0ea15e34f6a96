"""Other programs that read slides, and what each makes of a file beside our reader.

They are looked for where `scripts/readers` puts them, or in the folder that WSICOMP_READERS names. Each runs
under an interpreter of its own, by `scripts/read_with.py`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wsicomp
from tests.paths import ROOT

INSTALLED = Path(os.environ.get("WSICOMP_READERS", ROOT / ".venv/readers"))
LIMIT_S = 300
SIDE = 64
ALIKE, COLORS_ALIKE = 2.5, 8.0
"""Grey levels in the mean by which two decoders' regions may differ, in brightness and in colours.

Some repeat the samples of subsampled colours where others interpolate them.
"""

_LUMA = np.array([0.299, 0.587, 0.114])
Pixels = NDArray[np.int16]
Region = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Program:
    """`reader` is its name among the verdicts, `name` that in `read_with.py`; `python` is None if missing."""

    reader: str
    name: str
    python: Path | None
    environment: dict[str, str]


@dataclass(frozen=True)
class Sight:
    """What a program makes of a file.

    Of the regions with a picture it showed some `alike`, `wrong` or `black`; at others it `failed`, or had no
    such level (`absent`). `most` is the largest difference to our reader in grey levels. `empty` says how
    glass without a tile was shown. `more` lists images that it takes for levels and that are none.
    """

    version: str
    levels: tuple[tuple[int, int], ...]
    more: tuple[tuple[int, int], ...]
    mpp: float | None
    alike: int
    wrong: int
    black: int
    failed: int
    absent: int
    most: int
    empty: str
    error: str

    @property
    def opens(self) -> str:
        """The word of a verdict for it."""
        if self.black:
            return "shows black"
        if not (self.alike or self.wrong):
            return "no"
        flaws = self.black or self.wrong or self.failed or self.absent or self.more
        return "partly" if flaws or self.empty not in ("", "white") else "yes"


def programs() -> tuple[Program, ...]:
    """Every program of the verdicts that can be asked by machine, missing ones among them."""
    here = Path(sys.executable)
    v400 = {"PYTHONPATH": str(INSTALLED / "openslide400")}
    jar = {"BIOFORMATS_JAR": str(INSTALLED / "bioformats.jar")}
    return (
        Program("OpenSlide 4.0.1 and later", "openslide", here, {}),
        Program(
            "OpenSlide 4.0.0", "openslide", here if (INSTALLED / "openslide400").is_dir() else None, v400
        ),
        Program("OpenSlide 3.4", "openslide-system", _with("openslide-show-properties", here), {}),
        Program("libvips", "libvips", here if find_spec("pyvips") else None, {}),
        Program("libtiff", "libtiff", _with("tiffcp", here), {}),
        Program("Bio-Formats", "bioformats", _own("bioformats"), jar),
        Program("tifffile", "tifffile", here, {}),
        Program("FAST", "fast", _own("fast"), {}),
        Program("tiatoolbox", "tiatoolbox", _own("tiatoolbox"), {}),
        Program("large_image", "large_image", _own("large_image"), {}),
        Program("cuCIM", "cucim", _own("cucim"), {}),
        Program("GDAL", "gdal", _own("rasterio"), {}),
        Program("slideio", "slideio", _own("slideio"), {}),
        Program("tiffslide", "tiffslide", _own("tiffslide"), {}),
    )


def fastslide() -> Program:
    """A program of which no verdict is told: an oracle for pixels, and a peer in speed."""
    return Program("fastslide", "fastslide", _own("fastslide"), {})


def installed() -> list[Program]:
    """Those that can be asked here."""
    return [each for each in programs() if each.python is not None]


def missing() -> list[str]:
    """The names of the others."""
    return [each.reader for each in programs() if each.python is None]


def _own(name: str) -> Path | None:
    python = INSTALLED / name / "bin/python"
    return python if python.exists() else None


def _with(command: str, python: Path) -> Path | None:
    return python if shutil.which(command) else None


def regions_of(path: Path, count: int) -> tuple[list[Region], list[tuple[Pixels, NDArray[np.bool_]]]]:
    """Seeded regions over all levels, their last corners among them; with our pixels and which are opaque."""
    regions: list[Region] = []
    ours = []
    generator = np.random.default_rng(40)
    with wsicomp.open_slide(path) as slide:
        for number in range(count):
            level = number % slide.level_count
            width, height = slide.level_dimensions[level]
            w, h = min(SIDE, width), min(SIDE, height)
            corner = number // slide.level_count == 0
            x, y = (int(generator.integers(0, side - part + 1)) for side, part in ((width, w), (height, h)))
            x, y = (width - w, height - h) if corner else (x, y)
            step = slide.level_downsamples[level]
            pixels = np.asarray(slide.read_region((round(x * step), round(y * step)), level, (w, h)))
            regions.append((width, height, x, y, w, h))
            ours.append((pixels[..., :3].astype(np.int16), pixels[..., 3] > 0))
    return regions, ours


@lru_cache(maxsize=64)
def _regions_kept(
    path: Path, changed_ns: int, count: int
) -> tuple[list[Region], list[tuple[Pixels, NDArray[np.bool_]]]]:
    """Those of a file, which every program is asked for; `changed_ns` is when the file was written."""
    return regions_of(path, count)


def ask(program: Program, files: Sequence[Path], count: int = 40) -> list[Sight | str]:
    """What the program makes of each file, by `count` regions; a word where it opens it not at all."""
    if program.python is None:
        raise ValueError(f"{program.reader} is not installed")
    asked = [_regions_kept(path, path.stat().st_mtime_ns, count) for path in files]
    rows = [[str(path), regions] for path, (regions, _) in zip(files, asked, strict=True)]
    found = answers(program, rows)
    return [_sight(answer, *each) for answer, each in zip(found, asked, strict=True)]


def answers(program: Program, rows: list[Any]) -> list[dict[str, Any]]:
    """One answer a row; a program that dies or hangs over a file goes on with the next."""
    command = [str(program.python), str(ROOT / "scripts/read_with.py"), program.name]
    environment = {**os.environ, **program.environment}
    found: list[dict[str, Any]] = []
    while len(found) < len(rows):
        try:
            done = subprocess.run(
                command,
                input=json.dumps(rows[len(found) :]).encode(),
                capture_output=True,
                env=environment,
                timeout=LIMIT_S,
                check=False,
            )
            text, fault = done.stdout, f"it ends with status {done.returncode}"
        except subprocess.TimeoutExpired as exc:
            text, fault = exc.stdout or b"", "it hangs"
        found += [json.loads(line) for line in text.splitlines() if line.endswith(b"}")]
        if len(found) < len(rows):
            found.append({"error": fault})
    return found


def _sight(
    answer: dict[str, Any], regions: list[Region], ours: list[tuple[Pixels, NDArray[np.bool_]]]
) -> Sight | str:
    if "levels" not in answer:
        return str(answer.get("error") or answer["missing"])
    counts = dict.fromkeys(("alike", "wrong", "black", "failed", "absent"), 0)
    most, empty, error = 0, set(), ""
    for region, found, (expected, opaque) in zip(regions, answer["regions"], ours, strict=True):
        if "absent" in found:
            counts["absent"] += 1
            continue
        if "error" in found:
            counts["failed"] += 1
            error = found["error"]
            continue
        pixels = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8).reshape(region[5], region[4], 3)
        if not opaque.all():
            empty.add(_shade(pixels[~opaque]))
        if not opaque.any():
            continue
        off = np.abs(pixels - expected)[opaque]
        if not pixels[opaque].any() and expected[opaque].any():
            counts["black"] += 1
        else:
            gray = np.abs((pixels - expected)[opaque] @ _LUMA)
            is_wrong = gray.mean() > ALIKE or off.mean() > COLORS_ALIKE
            counts["wrong" if is_wrong else "alike"] += 1
            most = max(most, int(off.max()))
    sizes = tuple(dict.fromkeys(region[:2] for region in regions))
    levels = tuple((int(width), int(height)) for width, height in answer["levels"])
    return Sight(
        answer["version"],
        levels,
        () if answer["lists_pages"] else tuple(size for size in levels if size not in sizes),
        answer["mpp"][0] if answer["mpp"] else None,
        most=most,
        empty=" or ".join(sorted(empty)),
        error=error,
        **counts,
    )


def _shade(pixels: NDArray[np.uint8]) -> str:
    if pixels.min() > 200:
        return "white"
    return "black" if not pixels.any() else "other"
