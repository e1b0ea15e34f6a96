"""Trees of small slides, and what a batch made of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import psutil

from tests import tiffs
from wsicomp.batch import BatchOptions, Ledger, run_batch
from wsicomp.config import ConversionConfig
from wsicomp.text.paths import as_path, as_text

HOOKS = Path(__file__).parent / "hooks"
CONFIG = ConversionConfig.of(segmenter="threshold", margin_um=0)
"""With the colour threshold: the network would see no tissue in a drawn disc, and takes longer."""

RESTORABLE = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", restorable=True)


def write_slide(path, number=0, side=200):
    """A slide that differs from others by its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = tiffs.picture(side, side)
    pixels[:8, :8] = np.array([number % 256, number // 256, 200], np.uint8)
    return tiffs.write_tiff(path, side, side, svs=path.suffix == ".svs", pixels=pixels)


def write_tree(folder, count=6, side=200):
    """So many slides in three folders; their paths."""
    return [
        write_slide(folder / "abc"[number % 3] / f"slide {number}.svs", number, side)
        for number in range(count)
    ]


def run(source, target, config=CONFIG, callbacks=None, stop=None, **choices):
    """A batch with two jobs of one thread, and no demands on the disk."""
    chosen = BatchOptions(**{"jobs": 2, "workers": 1, "min_free": 0} | choices)
    return run_batch(source, target, config, chosen, callbacks, stop)


def entries(target):
    """What the ledger says of each slide."""
    with Ledger(target, read_only=True) as ledger:
        return {entry.source: entry for entry in ledger.entries()}


def sha256(path):
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def worker_processes(process):
    """The processes that convert, of a coordinator that still is."""
    try:
        return psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []


def files(target):
    """SHA-256 of every file of a tree but its options and those in hidden folders, by relative paths."""
    found = (path for path in target.rglob("*") if path.is_file())
    relative = {as_text(path.relative_to(target)): path for path in found}
    return {
        name: sha256(path)
        for name, path in relative.items()
        if not name.startswith((".wsicomp", "wsicomp.toml"))
    }


def assert_agrees(target):
    """The ledger says of every file what is on the disk, and of no file that is not there."""
    done = {entry.target: entry for entry in entries(target).values() if entry.state in ("done", "look")}
    assert files(target) == {name: entry.target_sha256 for name, entry in done.items()}
    for name, entry in done.items():
        assert (target / as_path(name)).stat().st_size == entry.target_bytes
    assert not list(target.rglob("*.partial"))
    assert not list((target / ".wsicomp").rglob("*.large.jpg"))
