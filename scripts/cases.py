"""What becomes of slides that were converted wrongly or refused once, as others read the result.

Every case is drawn by `tests/drawn`, so that its pixels are known. OpenSlide reads what came of it, or
tifffile where OpenSlide cannot. `--before CHECKOUT` asks the program of another checkout the same.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE))

from tests.drawn import colour, levels, nights, pale, pixels_only, sound  # noqa: E402

Pixels = NDArray[np.uint8]
ANSWER = 100
"""Letters of a refusal that are printed."""

_ASK = """
import contextlib, io, json, sys
from wsicomp.cli import main
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as exc:
            code = exc.code
        except BaseException as exc:
            code, _ = 99, err.write(f"TRACEBACK {type(exc).__name__}: {exc}")
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class Case:
    """A slide, the command that is given with it, and how the answer is put in a few words.

    `draw` writes the slide, or several, into a folder and returns each with what is known of it. In `command`
    SOURCE and TARGET stand for the paths.
    """

    name: str
    right: str
    draw: Callable[[Path], list[tuple[Path, Any]]]
    command: str
    judge: Callable[[list["Answer"]], str]


@dataclass(frozen=True)
class Answer:
    """What the program did with one slide."""

    target: Path
    truth: Any
    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        lines = [line for line in self.err.strip().splitlines() if line]
        return lines[-1].replace(str(self.target.parent) + "/", "")[:ANSWER] if lines else f"exit {self.code}"


def shown(path: Path, level: int = 0) -> Pixels:
    """A level as OpenSlide reads it, on white; as tifffile does where OpenSlide cannot."""
    try:
        with openslide.OpenSlide(path) as slide:
            picture = slide.read_region((0, 0), level, slide.level_dimensions[level])
            array = np.asarray(picture).astype(np.uint16)
            return (array[..., :3] * (array[..., 3:] / 255) + 255 - array[..., 3:]).astype(np.uint8)
    except openslide.OpenSlideError:
        with tifffile.TiffFile(path) as tiff:
            tiled = [page for page in tiff.pages if page.is_tiled]
            return np.asarray(sorted(tiled, key=lambda page: -page.imagewidth)[level].asarray())


def off(answers: list[Answer]) -> str:
    """By how many grey levels the pictures are off, of all slides that were converted."""
    done = [answer for answer in answers if answer.code == 0]
    if not done:
        return f"refused: {answers[0].refusal}"
    worst = mean = 0.0
    for answer in done:
        truths = answer.truth if isinstance(answer.truth, list) else [answer.truth]
        for level, truth in enumerate(truths):
            difference = np.abs(shown(answer.target, level).astype(int) - truth)
            worst, mean = max(worst, difference.max()), max(mean, difference.mean())
    refused = ""
    if len(done) < len(answers):
        first = next(answer.refusal for answer in answers if answer.code)
        refused = f", {len(answers) - len(done)} of {len(answers)} refused: {first}"
    return f"off by {worst:.0f}, mean {mean:.1f}{refused}"


def least_psnr(answers: list[Answer]) -> str:
    """The least PSNR of a tile of 256 px."""
    (answer,) = answers
    pixels = shown(answer.target).astype(float)
    found = []
    for y, x in itertools.product(range(0, pixels.shape[0], 256), range(0, pixels.shape[1], 256)):
        part = np.s_[y : y + 256, x : x + 256]
        found.append(10 * np.log10(255**2 / max(1e-9, np.mean((pixels[part] - answer.truth[part]) ** 2))))
    return f"least PSNR {min(found):.1f} dB"


def listed(answers: list[Answer]) -> str:
    """The levels that OpenSlide lists."""
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    with openslide.OpenSlide(answer.target) as slide:
        return "levels " + ", ".join(f"{width} x {height}" for width, height in slide.level_dimensions)


def told(answers: list[Answer]) -> str:
    """The last line that was said on stderr, or that it was done."""
    done = sum(answer.code == 0 for answer in answers)
    if done == len(answers):
        return "done"
    refused = next(answer for answer in answers if answer.code)
    return f"{len(answers) - done} of {len(answers)} refused: {refused.refusal}"


def one(draw: Callable[[Path], Any], suffix: str = ".svs") -> Callable[[Path], list[tuple[Path, Any]]]:
    """A slide and what its function returns."""

    def drawn(folder: Path) -> list[tuple[Path, Any]]:
        path = folder / f"slide{suffix}"
        return [(path, draw(path))]

    return drawn


def jpegs(folder: Path) -> list[tuple[Path, Any]]:
    """Every pairing of photometric, markers, numbers of components, and shared or own tables."""
    found = []
    pairings = itertools.product((colour.RGB, colour.YCBCR), colour.MARKERS, colour.NUMBERS, (True, False))
    for number, (photometric, markers, numbers, shared) in enumerate(pairings):
        path = folder / f"{number}.svs"
        found.append((path, colour.draw_jpeg(path, photometric, markers, numbers, shared=shared)))
    return found


def jpeg2000s(transform: bool) -> Callable[[Path], list[tuple[Path, Any]]]:
    """33003 with each subsampling."""

    def drawn(folder: Path) -> list[tuple[Path, Any]]:
        found = []
        for subsampling in ("444",) if transform else ("444", "422", "420"):
            path = folder / f"{subsampling}.svs"
            found.append((path, colour.draw_jpeg2000(path, 33003, subsampling, transform)))
        return found

    return drawn


def dicom(folder: Path) -> list[tuple[Path, Any]]:
    """Levels of downsamples 1.998 and 3.986, told from each other by noise."""
    path, truth = pixels_only.dicom_pyramid(folder / "dicom", [(1100, 900), (551, 451), (276, 226)])
    return [(path, truth)]


def scene_of(draw: Callable[[Path], levels.Drawn], suffix: str) -> Callable[[Path], list[tuple[Path, Any]]]:
    return one(lambda path: draw(path).levels, suffix)


def scales(folder: Path) -> list[tuple[Path, Any]]:
    """SVS whose MPP and AppMag are no numbers that a scale can be."""
    found = []
    for number, text in enumerate(sound.SCALES):
        path = folder / f"{number}.svs"
        pixels = sound.tissue(128, 128)
        description = sound.APERIO.format(128, 128, text, text)
        sound.write(
            path,
            [
                sound.Image(
                    (128, 128),
                    [sound.jpeg(part) for part in sound.cut(pixels)],
                    compression=7,
                    description=description,
                )
            ],
        )
        found.append((path, pixels))
    return found


def damaged(path: Path) -> Any:
    """A pyramid whose smallest level has one tile, and that is damaged."""
    pictures = [sound.tissue(512, 384), sound.halved(sound.tissue(512, 384), 3)]
    return sound.pyramid(path, pictures, damage=[(1, 0)])[:1]


def missing(path: Path) -> Any:
    """A generic TIFF with tiles that are not stored."""
    picture = sound.tissue(256, 256)
    sound.pyramid(path, [picture], absent=[(0, 0), (0, 15)], svs=False)
    truth = picture.copy()
    truth[:64, :64] = truth[-64:, -64:] = 255
    return truth


def planar(path: Path) -> Any:
    pixels = sound.tissue(256, 192)
    tifffile.imwrite(
        path,
        np.moveaxis(pixels, 2, 0),
        tile=(64, 64),
        photometric="rgb",
        planarconfig="separate",
        compression="deflate",
        metadata=None,
    )
    return pixels


def opaque(path: Path) -> Any:
    pixels = sound.tissue(256, 192)
    alpha = np.full((192, 256, 1), 255, np.uint8)
    tifffile.imwrite(
        path,
        np.concatenate([pixels, alpha], axis=2),
        tile=(64, 64),
        photometric="rgb",
        extrasamples=["unassalpha"],
        compression="deflate",
        metadata=None,
    )
    return pixels


def nothing(folder: Path) -> list[tuple[Path, Any]]:
    return [(folder / "nosuch.svs", None)]


CONVERT = "convert SOURCE TARGET --glass keep"
CASES = [
    Case(
        "JPEG: 132 pairings of photometric, markers, numbers, tables",
        "the photometric decides",
        jpegs,
        f"{CONVERT} --codec copy",
        off,
    ),
    Case(
        "the same, encoded anew",
        "the photometric decides",
        jpegs,
        f"{CONVERT} --codec jpeg --quality 95",
        off,
    ),
    Case(
        "the same, JPEG XL without loss, by tifffile",
        "the photometric decides",
        jpegs,
        f"{CONVERT} --codec jpegxl --lossless --format tiff",
        off,
    ),
    Case(
        "33003 as 4:4:4, 4:2:2, 4:2:0",
        "converted once",
        jpeg2000s(False),
        f"{CONVERT} --codec jpeg --quality 95",
        off,
    ),
    Case(
        "33003 that holds RGB (multi-component transform)",
        "RGB",
        jpeg2000s(True),
        f"{CONVERT} --codec jpeg --quality 95",
        off,
    ),
    Case("the same, copied", "RGB, or refused", jpeg2000s(True), f"{CONVERT} --codec copy", off),
    Case(
        "DICOM with levels of 1.998 and 3.986",
        "each level's own pixels",
        dicom,
        f"{CONVERT} --codec jpegxl --lossless",
        off,
    ),
    Case(
        "pale tissue and specks, --psnr 37",
        "37 dB or more",
        one(pale.write_pale_slide, ".tif"),
        f"{CONVERT} --codec jpeg2000 --psnr 37 --format svs",
        least_psnr,
    ),
    Case(
        "an Aperio z-stack of three planes", "refused", one(levels.z_stack), "convert SOURCE TARGET", listed
    ),
    Case("the same, one plane", "two levels", one(levels.z_stack), "convert SOURCE TARGET --z 1", listed),
    Case(
        "a pyramid in SubIFDs (OME-TIFF)",
        "three levels",
        one(levels.ome_tiff, ".ome.tif"),
        "convert SOURCE TARGET",
        listed,
    ),
    Case(
        "a tiled label",
        "no level",
        one(levels.tiled_label_by_word),
        "convert SOURCE TARGET --no-label",
        listed,
    ),
    Case(
        "a label in the thumbnail's place, --deidentify",
        "done without it",
        one(levels.label_second_by_word),
        "convert SOURCE TARGET --deidentify",
        told,
    ),
    Case("smallest level whose only tile is damaged", "converted", one(damaged), CONVERT, off),
    Case(
        "generic TIFF with missing tiles, copied",
        "as OpenSlide shows the source",
        one(missing, ".tif"),
        f"{CONVERT} --codec copy",
        off,
    ),
    Case("8-bit planar RGB", "read", one(planar, ".tif"), f"{CONVERT} --codec none", off),
    Case("RGBA with opaque alpha", "read", one(opaque, ".tif"), f"{CONVERT} --codec none", off),
    Case("MPP and AppMag of 0, negative, inf, NaN, words", "not stated", scales, CONVERT, told),
    Case(
        "JPEG 2000 to --format tiff, glass kept",
        "says what can hold it",
        jpeg2000s(False),
        f"{CONVERT} --codec jpeg2000 --format tiff",
        told,
    ),
    Case("no such file", "no such file", nothing, "info SOURCE", told),
    Case("no such file", "no such file", nothing, "convert SOURCE TARGET", told),
    Case(
        "a slide of glass alone",
        "a note to look",
        one(nights.draw_glass, ".tif"),
        "convert SOURCE TARGET",
        lambda answers: "told to look" if "look" in answers[0].out else "no word",
    ),
]


def ask(checkout: Path, commands: list[list[str]]) -> Iterator[tuple[int, str, str]]:
    """Give commands to the program of a checkout, all in one process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", _ASK]
    done = subprocess.run(
        command,
        input=json.dumps(commands),
        text=True,
        capture_output=True,
        cwd=checkout,
        env=environment,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for number in range(len(commands)):
        yield answers[number] if number < len(answers) else (99, "", f"crashed: {done.stderr[-80:]}")


def answered(case: Case, checkout: Path) -> str:
    """What a checkout's program makes of a case."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = case.draw(folder)
        targets = [
            folder / f"target-{number}.{'svs' if 'format svs' in case.command else 'tiff'}"
            for number in range(len(drawn))
        ]
        commands = [
            case.command.replace("SOURCE", str(path)).replace("TARGET", str(target)).split()
            for (path, _), target in zip(drawn, targets, strict=True)
        ]
        answers = [
            Answer(target, truth, *answer)
            for target, (_, truth), answer in zip(targets, drawn, ask(checkout, commands), strict=True)
        ]
        return case.judge(answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="ask the program in here as well")
    parser.add_argument("--only", metavar="WORDS", default="", help="cases whose names have these words")
    options = parser.parse_args()
    checkouts = {"before": options.before, "now": HERE} if options.before else {"now": HERE}
    print(f"| case | command | right | {' | '.join(checkouts)} |\n|---|---|---|{'---|' * len(checkouts)}")
    for case in CASES:
        if options.only in case.name:
            cells = [answered(case, checkout.resolve()).replace("|", "/") for checkout in checkouts.values()]
            command = case.command.replace("SOURCE TARGET ", "").replace(" SOURCE TARGET", "")
            print(f"| {case.name} | `{command}` | {case.right} | {' | '.join(cells)} |", flush=True)


main()
