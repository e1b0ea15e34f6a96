"""Rounds of a batch that takes sources away while it is killed, and while others edit what it writes.

Each round draws its trees below a folder of its own:

    source/    the slides; only the batch may take one away, and only for a target that holds it
    target/    what the batch writes, and what others edit
    kept/      copies of the slides, which say what was there
    outside/   slides that no name of a batch leads to; nothing may touch them

What is gone is held against its copy by tifffile, or against the bytes that `wsicomp restore` gives back.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import psutil
import tifffile

from tests.batch.trees import sha256, worker_processes
from tests.drawn import forged, ledgers
from tests.drawn.nights import draw_tissue
from tests.drawn.planted import KINDS, plant
from tests.paths import ROOT

OPTIONS = ("--segmenter", "threshold", "--margin-um", "0", "--jobs", "2", "--workers", "1", "--min-free", "0")
TAKES_AWAY = ("--delete-source-after-verify", "--quarantine-days", "0")
LOSSY = (*TAKES_AWAY, "--even-if-lossy", "--min-saving", "0")
WAYS = {
    "restorable": ("--codec", "jpegxl", "--lossless", "--effort", "1", "--glass", "keep", "--restorable"),
    "copied": ("--codec", "copy"),
    "encoded": ("--codec", "jpeg", "--quality", "90"),
}
NEAR = 4.0
"""Mean difference in grey levels of tissue that was encoded."""
IN_FOLDER = ("lock", "batch.log", "ledger.sqlite", "ledger.sqlite-wal", "heartbeat.json", "audits", "aside")


@dataclass
class Round:
    """What a round saw."""

    seed: int
    kills: int = 0
    edits: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    taken: int = 0
    stayed: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trees:
    """The folders of a round, how its slides are converted, and the checkout of the program that does it."""

    root: Path
    way: str
    program: Path

    @property
    def source(self):
        return self.root / "source"

    @property
    def target(self):
        return self.root / "target"

    @property
    def kept(self):
        return self.root / "kept"

    @cached_property
    def names(self):
        """Of the slides, below the source tree."""
        return sorted(str(path.relative_to(self.kept)) for path in self.kept.rglob("*.svs"))

    def draw(self, names, seed):
        for number, name in enumerate(names):
            draw_tissue(self.source / name, seed + number)
        shutil.copytree(self.source, self.kept)
        for number in range(2):
            draw_tissue(self.root / f"outside/{number}.svs", seed + 50 + number)
            os.utime(self.root / f"outside/{number}.svs", ns=(10**18, 10**18))

    def start(self, *options):
        """Begin a batch, in a process that others may kill."""
        command = [sys.executable, "-m", "wsicomp", "batch", self.source, self.target]
        output = (self.root / "said.txt").open("ab")
        with output:
            return subprocess.Popen(
                [*command, *OPTIONS, *WAYS[self.way], *options],
                stdout=output,
                stderr=output,
                cwd=self.program,
            )

    def untouched(self):
        """All that is not the target tree and may not change, but for a name more or less of a file."""
        found = {}
        for folder in (self.kept, self.root / "outside"):
            for path in sorted(folder.rglob("*")):
                status = path.lstat()
                is_file = path.is_file()
                found[str(path)] = is_file and (sha256(path), status.st_mtime_ns, status.st_ino)
        return found

    def gone(self):
        """Slides that are neither in the source tree nor in quarantine, as they were."""
        held = (self.source, self.source / ".wsicomp-quarantine")
        return {
            name for name in self.names if not any(_same(folder / name, self.kept / name) for folder in held)
        }

    def strangers(self):
        """What lies in the source tree and is no slide of it, nor says how long one is in quarantine."""
        folders = (self.source, self.source / ".wsicomp-quarantine")
        found = {path for path in self.source.rglob("*") if not path.is_dir() or path.is_symlink()}
        found -= {*(self.source / ".wsicomp-quarantine/.days").glob("*.json*")}
        return sorted(map(str, found - {folder / name for folder in folders for name in self.names}))

    def changed(self):
        """Slides whose name is there, in the source tree or in quarantine, and that are not as they were."""
        held = (self.source, self.source / ".wsicomp-quarantine")
        return [
            name
            for folder in held
            for name in self.names
            if os.path.lexists(folder / name) and not _same(folder / name, self.kept / name)
        ]

    def holds(self, name):
        """Whether a target holds all of a slide that is gone, by other eyes."""
        for path in sorted(self.target.rglob("*")):
            is_named = str(path.relative_to(self.target)).startswith(name)
            if is_named and path.is_file() and not path.is_symlink():
                if self.way == "restorable":
                    return self._gives_back(path, name)
                return _shows(path, self.kept / name, 0.0 if self.way == "copied" else NEAR)
        return False

    def _gives_back(self, path, name):
        again = self.root / "again.svs"
        command = [sys.executable, "-m", "wsicomp", "restore", path, again, "--overwrite"]
        done = subprocess.run(command, capture_output=True, check=False, cwd=self.program)
        return done.returncode == 0 and _same(again, self.kept / name)


def _same(path, kept):
    return path.is_file() and not path.is_symlink() and path.read_bytes() == kept.read_bytes()


def _shows(path, kept, most):
    """Whether all levels show the slide's tissue, by a mean of so many grey levels."""
    try:
        return _levels_agree(path, kept, most)
    except Exception:  # whatever tifffile says of a file that is none any more
        return False


def _levels_agree(path, kept, most):
    with tifffile.TiffFile(path) as found, tifffile.TiffFile(kept) as right:
        levels = [[page for page in file.pages if page.is_tiled] for file in (found, right)]
        if len(levels[0]) < len(levels[1]):
            return False
        for ours, theirs in zip(*levels, strict=False):
            pixels, truth = ours.asarray().astype(int), theirs.asarray().astype(int)
            tissue = truth.max(-1) < 200
            if pixels.shape != truth.shape or not np.abs(pixels - truth)[tissue].mean() <= most:
                return False
    return True


def killed(folder, seed, kills=10, program=ROOT):
    """A round of a batch that is killed so often, then ends."""
    chance, seen = random.Random(seed), Round(seed)
    trees = Trees(folder / f"kills-{seed}", [*WAYS][seed % 3], program)
    trees.draw([f"{'abc'[number % 3]}/slide {number}.svs" for number in range(6)], 100 * seed)
    tries = 0
    before, gone = trees.untouched(), set()
    options = TAKES_AWAY if trees.way == "restorable" else LOSSY
    while seen.kills < kills and (tries := tries + 1) < 5 * kills:
        process = trees.start(*options)
        time.sleep(chance.uniform(0.3, 6.0))
        if process.poll() is None:
            seen.kills += _kill(process, ("coordinator", "worker", "all")[seen.kills % 3])
        before_it, gone = gone, trees.gone()
        _check(trees, before, gone - before_it, seen)
        if gone == {*trees.names}:
            shutil.copytree(trees.kept, trees.source, dirs_exist_ok=True)  # they come back
            gone = set()
    _end(trees, seen, *options)
    _check(trees, before, trees.gone(), seen)
    return _tidied(trees, seen)


def _kill(process, whom):
    """Kill -9 a coordinator, one of its workers or all of them; whether any was there to be killed."""
    workers = worker_processes(process)
    victims = {"all": workers, "worker": workers[:1], "coordinator": []}[whom]
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    if whom != "worker":
        process.kill()
    process.wait()
    psutil.wait_procs(workers, 20)
    return bool(victims) or whom != "worker"


def edited(folder, seed, program=ROOT):
    """A round in which conversions are edited, before a batch takes sources away or while it does."""
    chance, seen = random.Random(seed), Round(seed)
    trees = Trees(folder / f"edits-{seed}", [*WAYS][seed // 5 % 3], program)
    trees.draw(ledgers.SLIDES, 100 * seed)
    before = trees.untouched()
    _end(trees, seen)
    options = TAKES_AWAY if trees.way == "restorable" else LOSSY
    options += ("--overwrite",) * (seed % 4 == 0) + ("--recheck",) * (seed % 4 == 1)
    process = trees.start(*options) if seed % 2 else None
    if process is not None:
        time.sleep(chance.uniform(0.3, 4.0))
    families = [_edit_ledger, _edit_heartbeat, _plant, _edit_target, _edit_target]
    spoilt = set()
    with suppress(sqlite3.Error, OSError):  # a batch at work may hold it, or have moved it, or made it anew
        spoilt = families[seed % 5](trees, chance, seen)
    if process is not None:
        seen.ends.append(process.wait())
    else:
        _end(trees, seen, *options)
    _check(trees, before, trees.gone() - spoilt, seen)
    if seen.ends[-1] != 0:
        _mend(trees)
        _end(trees, seen, *options)
        _check(trees, before, trees.gone() - spoilt, seen)
    return _tidied(trees, seen)


def _end(trees, seen, *options):
    seen.ends.append(trees.start(*options).wait())


def _mend(trees):
    """What the messages say: what was planted goes, and the ledger is made again from the targets."""
    for name in IN_FOLDER:
        path = trees.target / ".wsicomp" / name
        if path.is_symlink() or (path.exists() and not path.is_file() and name not in ("audits", "aside")):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        elif path.is_file() and path.stat().st_nlink > 1:
            path.unlink()
    for path in trees.target.rglob("*"):
        if path.is_symlink() or path.is_fifo() or path.is_socket():
            path.unlink()
    output = (trees.root / "said.txt").open("ab")
    with output:
        for path in (trees.target / ".wsicomp").glob("ledger.sqlite*"):
            path.unlink()
        command = [sys.executable, "-m", "wsicomp", "batch", "rebuild", trees.target]
        subprocess.run(command, stdout=output, stderr=output, check=False, cwd=trees.program)


def _check(trees, before, gone, seen):
    """Nothing outside has changed, and what is gone is in a target."""
    after = trees.untouched()
    seen.faults += [f"{name} was touched" for name in before if after.get(name) != before[name]]
    seen.faults += [f"{name} came" for name in after if name not in before]
    seen.faults += [f"{name} came into the source tree" for name in trees.strangers()]
    seen.faults += [f"{name} was changed in the source tree" for name in trees.changed()]
    seen.faults += [f"{name} is lost" for name in sorted(gone) if not trees.holds(name)]
    said = (trees.root / "said.txt").read_text("utf-8", "replace")
    if "Traceback" in said:
        seen.faults.append(said[said.index("Traceback") :][:2000])


def _tidied(trees, seen):
    seen.taken = len(trees.gone())
    seen.stayed = len(trees.names) - seen.taken
    if not seen.faults:
        shutil.rmtree(trees.root)
    return seen


def _edit_ledger(trees, chance, seen):
    kinds = (ledgers.PATHS_OUT, ledgers.WRONG_VALUES, ledgers.WRONG_SHAPES, None)
    kind = kinds[seen.seed // 5 % 4]
    if kind is None:
        ledgers.flip(trees.target, seen.seed, 8)
        seen.edits.append("ledger: bits flipped")
    else:
        name = chance.choice([*kind])
        kind[name](trees.target)
        seen.edits.append(f"ledger: {name}")
    return set()


def _edit_heartbeat(trees, chance, seen):
    name = chance.choice([*ledgers.HEARTBEATS])
    ledgers.beat(trees.target, ledgers.HEARTBEATS[name])
    seen.edits.append(f"heartbeat: {name}")
    return set()


def _plant(trees, chance, seen):
    """Something under a name that the batch writes; links lead to a source or to a slide outside."""
    victims = [trees.root / "outside/0.svs", *(path for path in trees.source.rglob("*.svs"))]
    hidden = [trees.target / ".wsicomp" / name for name in IN_FOLDER]
    path, kind = chance.choice(hidden), chance.choice(KINDS)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    plant(path, kind, chance.choice(victims))
    seen.edits.append(f"planted: {kind} at {path.name}")
    return set()


def _edit_target(trees, chance, seen):
    """A target of a slide whose source is still there; those whose source went before are spoilt by us."""
    path = chance.choice(_targets(trees))
    other = chance.choice([one for one in _targets(trees) if one != path])
    edits = (_flip, _cut, _swap, _replace, _forge, _link_over, _twin, _time_put_back)
    edit = edits[seen.seed // 5 % len(edits)]
    names = {_slide_of(trees, one) for one in ((path, other) if edit is _swap else (path,))}
    is_there = {name for name in names if (trees.source / name).exists()}
    edit(trees, path, other, chance)
    still_there = {name for name in is_there if (trees.source / name).exists()}
    seen.edits.append(f"target: {edit.__name__.strip('_')}")
    return names - still_there


def _targets(trees):
    found = (path for path in trees.target.rglob("*") if path.is_file() and path.suffix in (".svs", ".tiff"))
    return sorted(path for path in found if ".wsicomp" not in str(path.relative_to(trees.target)))


def _slide_of(trees, path):
    return next(name for name in trees.names if str(path.relative_to(trees.target)).startswith(name))


def _flip(trees, path, other, chance):
    data = bytearray(path.read_bytes())
    for _ in range(8):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _cut(trees, path, other, chance):
    os.truncate(path, int(path.stat().st_size * chance.random()))


def _swap(trees, path, other, chance):
    aside = trees.root / "aside"
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def _replace(trees, path, other, chance):
    shutil.copy(other, path)


def _forge(trees, path, other, chance):
    """All tiles blank, with the right digest."""
    source = trees.kept / _slide_of(trees, path)
    forged.forge(source, path, forged.FORGERIES["every tile blank"])


def _link_over(trees, path, other, chance):
    path.unlink()
    path.symlink_to(trees.root / "outside/0.svs")


def _twin(trees, path, other, chance):
    path.unlink()
    path.hardlink_to(trees.root / "outside/1.svs")


def _time_put_back(trees, path, other, chance):
    """Bytes of the tiles are others, the time is the old one."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(status.st_size // 2)
        file.write(bytes(64))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
