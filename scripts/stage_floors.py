"""The floor of each stage of a conversion: its work done bare, beside what the stage took.

Bare work runs on as many threads as there are cores, on tiles that are in memory already, with nothing
decided, kept or checked. The fastest of three counts.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import imagecodecs
import numpy as np
import simplejpeg
from processes import Run

import wsicomp
from wsicomp import ConversionConfig
from wsicomp.codecs.jpeg_stream import decodable_stream
from wsicomp.comparison.tables import markdown_table
from wsicomp.concurrency.threads import available_cores, batched
from wsicomp.config import TissueConfig
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.stated_scale import MPP_AT_1X
from wsicomp.tissue.scale import choose_scale
from wsicomp.tissue.segmenters import unet
from wsicomp.tissue.segmenters.weights import load_weights

_ROUNDS = 3
_BLOCK_BYTES = 1 << 20
_OVERVIEW_PX = 1024


@dataclass(frozen=True)
class Floor:
    """What a stage's work takes bare."""

    work: str
    seconds: float


@dataclass(frozen=True)
class Counts:
    """How much there was to do in a conversion."""

    tiles: dict[str, int]
    """For each stage the items that it went through."""
    patches: int
    """How often the network ran."""


def floors(source: Path, folder: Path, run: Run, options: Sequence[str]) -> str:
    """Return the table of a conversion's stages; `run` is the process that was measured."""
    report = json.loads(run.said)
    stages = {name: float(seconds) for name, seconds in report["elapsed_s"].items()}
    here = {"start and end": run.wall_s - sum(stages.values())} | stages
    target = folder / "floor.svs"
    bare = bare_stages(source, target, options)
    target.unlink()
    rows = [_row(name, seconds, bare.get(name)) for name, seconds in here.items()]
    whole = Floor("", sum(floor.seconds for name, floor in bare.items() if name in here))
    rows.append(_row("all", run.wall_s, whole))
    return markdown_table(["stage", "bare", "bare s", "here s", "here / bare"], rows)


def _row(name: str, seconds: float, floor: Floor | None) -> list[str]:
    if floor is None or not floor.seconds:
        return [name, "", "", f"{seconds:.2f}", ""]
    ratio = f"{seconds / floor.seconds:.1f}x"
    return [name, floor.work, f"{floor.seconds:.2f}", f"{seconds:.2f}", ratio]


def bare_stages(source: Path, target: Path, options: Sequence[str]) -> dict[str, Floor]:
    """Return the floor of each stage of this conversion, which is made once more in this process."""
    counts = counted(source, target, options)
    own, made = streams(source), streams(target)
    found = {
        "start and end": Floor("Python, import of numpy and tifffile", fastest(_start)),
        "identify": Floor("SHA-256 of the source", fastest(lambda: sha256(source))),
        "verify": Floor("SHA-256 of source and target", fastest(lambda: (sha256(source), sha256(target)))),
        "write": Floor("the target's bytes written and synced", fastest(lambda: _written(target))),
    }
    if "keep" not in options:
        found |= _floors_of_glass(source, own, counts)
    if "jpeg" in options:
        tiles = [tile for level in own for tile in level]
        coded = fastest(lambda: spread(_recoded, tiles))
        both = fastest(lambda: spread(_decoded, [*tiles, *(tile for level in made for tile in level)]))
        found["write"] = Floor(f"{len(tiles)} tiles decoded and encoded", coded)
        found["verify"] = Floor(
            f"{found['verify'].work}; the tiles of both decoded", found["verify"].seconds + both
        )
    return found


def _floors_of_glass(source: Path, own: list[list[bytes]], counts: Counts) -> dict[str, Floor]:
    with closing(open_tiff(source)) as slide:
        scale = choose_scale(slide.info, MPP_AT_1X / TissueConfig.magnification)
        sizes = [level.size for level in slide.info.levels]
    small = [number for number, size in enumerate(sizes) if max(size.width, size.height) >= _OVERVIEW_PX][-1]
    checked = counts.tiles.get("survey", 0)
    tiles = [tile for level in own for tile in level][:checked]
    read = fastest(lambda: spread(_decoded, own[scale.level]))
    reading = f"level {scale.level} decoded"
    return {
        "overview": Floor(f"level {small} decoded", fastest(lambda: spread(_decoded, own[small]))),
        "segment": Floor(f"{reading}; LiteRT, {counts.patches} times", read + _patches(counts.patches)),
        "survey": Floor(f"{checked} tiles decoded at an eighth", fastest(lambda: spread(_eighth, tiles))),
    }


def counted(source: Path, target: Path, options: Sequence[str]) -> Counts:
    """Convert the slide in this process, and count."""
    tiles: dict[str, int] = {}
    runs = []
    run = unet.LiteRtNetwork.tissue

    def counting(network: unet.LiteRtNetwork, *given: object) -> object:
        runs.append(1)
        return run(network, *given)

    codec = options[options.index("--codec") + 1]
    glass = "keep" if "keep" in options else "blank"
    config = ConversionConfig.of(codec=codec, glass=glass, overwrite=True)
    with patch.object(unet.LiteRtNetwork, "tissue", counting):
        wsicomp.convert_slide(
            source, target, config, on_progress=lambda stage, _, total: tiles.update({stage: total})
        )
    return Counts(tiles, len(runs))


def streams(path: Path) -> list[list[bytes]]:
    """Return the tiles of each level as JPEG streams that stand alone."""
    with closing(open_tiff(path)) as slide:
        found = []
        for number, level in enumerate(slide.info.levels):
            stored = (slide.stored_tile(index) for index in level.grid.raster(number))
            found.append([decodable_stream(tile.data, tile.encoding) for tile in stored if tile.data])
        return found


def spread(work: Callable[[list[bytes]], object], tiles: Iterable[bytes]) -> None:
    """Do the work on batches of 32 tiles, on all cores."""
    with ThreadPoolExecutor(available_cores()) as threads:
        list(threads.map(work, batched(tiles)))


def fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of three runs."""
    found = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def sha256(path: Path) -> bytes:
    """Return the digest of a file, read in pieces of a megabyte."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_BLOCK_BYTES):
            digest.update(piece)
    return digest.digest()


def _decoded(tiles: list[bytes]) -> None:
    for tile in tiles:
        simplejpeg.decode_jpeg(tile)


def _eighth(tiles: list[bytes]) -> None:
    for tile in tiles:
        simplejpeg.decode_jpeg(tile, min_height=32, min_width=32, min_factor=8)


def _recoded(tiles: list[bytes]) -> None:
    for tile in tiles:
        pixels = simplejpeg.decode_jpeg(tile)
        imagecodecs.jpeg8_encode(pixels, level=90, subsampling="420", optimize=True)


def _written(target: Path) -> None:
    copy = target.with_suffix(".copy")
    with copy.open("wb") as file:
        file.write(target.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    copy.unlink()


def _start() -> None:
    subprocess.run([sys.executable, "-c", "import numpy, tifffile"], check=True)


def _patches(count: int) -> float:
    """Return the seconds of as many runs of the network; a few are measured."""
    weights = load_weights()
    network = unet.LiteRtNetwork(weights, available_cores())
    pixels = np.random.default_rng(1).integers(0, 255, (weights.patch_px, weights.patch_px, 3), np.uint8)
    return fastest(lambda: network.tissue(pixels)) * count
