"""Every command on files that were made wrong on purpose: it ends in 0, 1 or 2, with one line, and soon.

The commands run in this process, as `wsicomp.cli.main` does them; whoever calls sees what crashes it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import wsicomp
from tests.command_line import run_command
from tests.drawn import fuzzed
from tests.drawn.fuzzed_bases import BASES
from tests.mutants import HangsError, limited
from wsicomp import WsicompError

INTERNAL = "internal error"
MOST_BYTES = 8 << 30
"""Of memory and of what a process reserves, so that a mutant that wants all of it takes none from others."""
GOOD = ("read", "refused")


@dataclass(frozen=True)
class Tried:
    """What came of a mutant: `outcome` is one of `GOOD`, or says what is wrong."""

    seed: int
    command: str
    outcome: str
    facts: str

    @property
    def is_good(self):
        return self.outcome in GOOD


def sound_files(folder: Path):
    """Draw the sound files that mutants are made of: for each kind of input some files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {draw: draw(folder) for draws in BASES.values() for draw in draws}
    return {kind: [drawn[draw] for draw in draws] for kind, draws in BASES.items()}


def try_fuzzed(command, seed, sound, folder):
    """Make a mutant of one of the sound files and give it to a command; nothing of it is left."""
    kind, _ = COMMANDS[command]
    base = sound[kind][seed % len(sound[kind])]
    work = folder / f"{command}-{seed}"
    work.mkdir(exist_ok=True)
    path = work / f"mutant{base.suffix}"
    facts = f"{base.name}: {fuzzed.write_fuzzed(path, base.read_bytes(), seed)}"
    outcome = _outcome(command, path, base, work, seed, sound)
    return Tried(seed, command, outcome, facts)


def try_sound(command, sound, folder):
    """Give each sound file to a command as it is; the same of each."""
    kind, _ = COMMANDS[command]
    found = []
    for number, base in enumerate(sound[kind]):
        work = folder / f"{command}-sound-{number}"
        work.mkdir()
        path = work / f"sound{base.suffix}"
        shutil.copy(base, path)
        found.append(Tried(number, command, _outcome(command, path, base, work, number, sound), base.name))
    return found


def _outcome(command, path, base, work, seed, sound):
    _, run = COMMANDS[command]
    try:
        with limited():
            outcome = run(path, base, work, seed, sound)
    except HangsError:
        outcome = "no end"
    except Exception as exc:  # that is what is looked for
        last = traceback.extract_tb(exc.__traceback__)[-1]
        outcome = f"{type(exc).__name__} at {Path(last.filename).name}:{last.lineno}: {exc}"
    shutil.rmtree(work)
    return outcome


def try_apart(command, seeds, sound, folder):
    """The same for many seeds, in a process of their own: a crash is that of one, and the rest go on."""
    context, seeds, found = get_context("fork"), list(seeds), []
    while seeds:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_try_all, args=(command, seeds, sound, folder, theirs))
        child.start()
        theirs.close()
        before = len(found)
        with contextlib.suppress(EOFError):
            while True:
                found.append(ours.recv())
        child.join()
        seeds = seeds[len(found) - before :]
        if seeds:
            found.append(Tried(seeds.pop(0), command, f"the process crashed, code {child.exitcode}", ""))
    return found


def _try_all(command, seeds, sound, folder, told):
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and libjpeg speak of damaged files themselves
    warnings.simplefilter("ignore")
    for seed in seeds:
        told.send(try_fuzzed(command, seed, sound, folder))


def _run(*arguments):
    """A command's outcome."""
    code, out, said = run_command(*arguments)
    if INTERNAL in said or "out of memory" in said:
        return said.strip()
    if code not in (0, 1, 2):
        return f"exit code {code}: {said.strip()}"
    if code and not said and not out:
        return f"exit code {code} without a word"
    if said.count("\n") > 1 and not said.startswith("usage:"):
        return f"many lines: {said.strip()}"
    if any(not line.isprintable() for line in (out + said).split("\n")):
        return f"what no terminal should see: {(out + said)!r}"
    return "refused" if code else "read"


def _info(path, base, work, seed, sound):
    return _run("info", path, *(["--json"] if seed % 3 == 0 else []))


def _verify(path, base, work, seed, sound):
    if seed % 3:
        return _run("verify", path, *(["--thorough"] if seed % 5 == 0 else []))
    other = sound["slide"][seed % len(sound["slide"])]
    return _run("verify", path, "--against", base if seed % 2 else other)


def _open_slide(path, base, work, seed, sound):
    slide = None
    try:
        with contextlib.closing(wsicomp.open_slide(path)) as slide:
            dict(slide.properties)
            slide.get_best_level_for_downsample(4)
            for level, (width, height) in enumerate(slide.level_dimensions[:20]):
                slide.read_region((0, 0), level, (min(width, 200), min(height, 200)))
            slide.get_thumbnail((50, 50))
            for name in slide.associated_images:
                slide.associated_images[name].load()
    except WsicompError as exc:
        return "refused" if "\n" not in str(exc) else f"many lines: {exc}"
    except Exception as exc:
        if slide is None or isinstance(slide, wsicomp.WsicompSlide) or isinstance(exc, HangsError):
            raise
        return "refused"  # by OpenSlide's own slide, or Pillow's, as it is read
    return "read"


ROADS = (
    ("--codec", "copy"),
    ("--codec", "jpeg"),
    ("--codec", "jpeg", "--lossless"),
    ("--codec", "jpegxl", "--lossless", "--effort", "1"),
    ("--codec", "copy", "--restorable"),
    ("--codec", "jpeg", "--segmenter", "threshold"),
    ("--codec", "webp"),
    ("--codec", "copy", "--deidentify"),
    ("--codec", "copy", "--levels", "full"),
)


def _convert(path, base, work, seed, sound):
    road = ROADS[seed % len(ROADS)]
    glass = () if "threshold" in road else ("--glass", "keep")
    return _run("convert", path, work / "target.tiff", *road, *glass, "--workers", 1)


def _restore(path, base, work, seed, sound):
    return _run("restore", path, work / "again.svs")


def _segment(path, base, work, seed, sound):
    return _run("segment", path, work / "mask.png", "--segmenter", "threshold")


def _mask(path, base, work, seed, sound):
    return _run(
        "convert", sound["slide"][0], work / "target.svs", "--mask", path, "--workers", 1, "--dry-run"
    )


def _preset(path, base, work, seed, sound):
    return _run(
        "convert", sound["slide"][0], work / "target.svs", "--preset", path, "--dry-run", "--workers", 1
    )


def _batch_preset(path, base, work, seed, sound):
    (work / "in").mkdir()
    return _run("batch", work / "in", work / "out", "--preset", path, "--dry-run")


def _batch(path, base, work, seed, sound):
    (work / "in").mkdir()
    path.rename(work / "in" / path.name)
    return _run("batch", work / "in", work / "out", "--dry-run")


def _compare(path, base, work, seed, sound):
    codecs = "jpeg:80" if seed % 2 else "jpegxl-lossless,jpeg:80"
    given = ("--codecs", codecs, "--glass", "keep", "--sample", "tiles:20", "--workers", 1)
    return _run("compare", path, "--out", work / "out", *given)


def _dataset(path, base, work, seed, sound):
    for other in base.parent.iterdir():
        if other.suffix == ".png":
            shutil.copy(other, work)
    return _run("dataset", "build", path, work / "patches.h5", "--power", 2.5)


def _train(path, base, work, seed, sound):
    return _run("train", "tissue", path, work / "run")


def _weights(path, base, work, seed, sound):
    shutil.copy(base.with_name("tissue-unet.tflite"), work)
    return _run("segment", sound["slide"][0], work / "mask.png", "--weights", path)


COMMANDS = {
    "info": ("any", _info),
    "verify": ("converted", _verify),
    "open_slide": ("any", _open_slide),
    "convert": ("any", _convert),
    "restore": ("restorable", _restore),
    "segment": ("slide", _segment),
    "convert --mask": ("mask", _mask),
    "convert --preset": ("preset", _preset),
    "batch --preset": ("preset", _batch_preset),
    "batch": ("any", _batch),
    "compare": ("slide", _compare),
    "dataset build": ("table", _dataset),
    "train tissue": ("settings", _train),
    "segment --weights": ("weights", _weights),
}
"""For each command, of what kind its input is, and how it is given."""
