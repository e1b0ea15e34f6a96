"""The cases of `scripts/cases`: slides that were converted wrongly or refused once, and how an answer is put.

Every slide is drawn by `tests/drawn`, so that its pixels are known. OpenSlide reads what came of it, or
tifffile where OpenSlide cannot.
"""

import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE))

from tests.drawn import colour, glass, levels, nights, pale, pixels_only, sound, strangers  # noqa: E402
from wsicomp.geometry import Size  # noqa: E402
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide  # noqa: E402

Pixels = NDArray[np.uint8]
THEN = " ; "
Answered = tuple[int, str, str]
"""A command's exit code, what it printed, and what it said on stderr."""
ANSWER = 100
"""Letters of a refusal that are printed."""


@dataclass(frozen=True)
class Case:
    """A slide, the command that is given with it, and how the answer is put in a few words.

    `draw` writes the slide, or several, into a folder and returns each with what is known of it. In `command`
    SOURCE and TARGET stand for the paths; commands that follow each other are set apart by `THEN`. One that
    begins with `python` is an expression, with `wsicomp` and `openslide` at hand. `meddle` is what someone
    does to the target of the first command before the next is given.
    """

    name: str
    right: str
    draw: Callable[[Path], list[tuple[Path, Any]]]
    command: str
    judge: Callable[[list["Answer"]], str]
    meddle: Callable[[Path], None] | None = None


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


def said(answers: list[Answer]) -> str:
    """What an expression gave, or the error that it raised."""
    (answer,) = answers
    return answer.out.strip() if answer.code == 0 else f"refused: {answer.refusal}"


def problems(answers: list[Answer]) -> str:
    """The codes of the problems that `verify --json` found."""
    (answer,) = answers
    try:
        report = json.loads(answer.out)
    except ValueError:
        return f"refused: {answer.refusal}"
    found = sorted({problem["code"] for problem in report["problems"]})
    return ", ".join(found) or "verified"


def tables_in_place(answers: list[Answer]) -> str:
    """In how many JPEG tiles all tables stand between SOF and SOS."""
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    data = answer.target.read_bytes()
    good = count = 0
    with tifffile.TiffFile(answer.target) as tiff:
        for page in tiff.pages:
            for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
                if page.is_tiled and length:
                    codes = marker_codes(data[offset : offset + length])
                    frame = next(n for n, code in enumerate(codes) if code in (0xC0, 0xC1, 0xC2))
                    count += 1
                    good += not {0xC4, 0xDB} & set(codes[:frame])
    return f"{good} of {count} tiles"


def marker_codes(stream: bytes) -> list[int]:
    """The markers of a JPEG up to its scan."""
    at, found = 2, []
    while stream[at + 1] != 0xDA:
        found.append(stream[at + 1])
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return found


def layout(answers: list[Answer]) -> str:
    """The TIFF's kind, its levels, and the images beside them in the main chain."""
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    with tifffile.TiffFile(answer.target) as tiff:
        tiled = [page for page in tiff.pages if page.is_tiled]
        formats = sum("SampleFormat" in page.tags for page in tiled)
        return (
            f"{'BigTIFF' if tiff.is_bigtiff else 'classic'}, {len(tiled)} levels, "
            f"{len(tiff.series[0].levels)} of them in series[0], "
            f"{formats} with SampleFormat, "
            f"{len(tiff.pages) - len(tiled)} other images"
        )


def blanked(answers: list[Answer]) -> str:
    """How much of level 0 is the commonest tile, which is the blank one, as OpenSlide shows it."""
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    with tifffile.TiffFile(answer.target) as tiff:
        offsets = np.asarray(tiff.pages[0].dataoffsets)
    _, counts = np.unique(offsets, return_counts=True)
    share = counts.max() / len(offsets) if counts.max() > 1 else 0.0
    return f"{share:.0%} of the tiles blank"


def painted(answers: list[Answer]) -> str:
    """How much of the tissue is of the colour that glass is painted with, green here."""
    (answer,) = answers
    pixels = shown(answer.target).astype(int)
    green = (pixels[..., 1] - pixels[..., [0, 2]].max(axis=2)) > 128
    return f"{np.mean(green[answer.truth]):.2%} of the tissue painted"


def bytes_of_tiles(path: Path) -> int:
    """Of all levels; a tile that several places share counts once."""
    with tifffile.TiffFile(path) as tiff:
        levels_of = [page for page in tiff.pages if page.is_tiled]
        tiles = [dict(zip(page.dataoffsets, page.databytecounts, strict=True)) for page in levels_of]
    return sum(sum(lengths.values()) for lengths in tiles)


def grown(answers: list[Answer]) -> str:
    """The bytes of all tiles without glass, of those with it."""
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    white, keep = (
        bytes_of_tiles(answer.target.with_name(f"{answer.target.name}.{way}.tiff"))
        for way in ("white", "keep")
    )
    return f"{white / keep - 1:+.1%}"


def kept(answers: list[Answer]) -> str:
    """Which sources of a night are still there."""
    (answer,) = answers
    if answer.code not in (0, 1):
        return f"refused: {answer.refusal}"
    there = [name for name in answer.truth if (answer.target.parent / "tree" / name).exists()]
    return ("still there: " + ", ".join(there)) if there else "all deleted"


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


def night(*slides: str) -> Callable[[Path], list[tuple[Path, Any]]]:
    """A tree of slides of glass alone, with one speck, or with tissue."""

    def drawn(folder: Path) -> list[tuple[Path, Any]]:
        for name in slides:
            getattr(nights, f"draw_{name}")(folder / "tree" / f"{name}.svs")
        return [(folder / "tree", [f"{name}.svs" for name in slides])]

    return drawn


def fixture(name: str) -> Callable[[Path], list[tuple[Path, Any]]]:
    """A source and what 0.5.0 made of it."""

    def drawn(folder: Path) -> list[tuple[Path, Any]]:
        (source,) = (HERE / "tests" / "fixtures").glob(f"v050*/{name}.source*")
        (target,) = (HERE / "tests" / "fixtures").glob(f"v050*/{name}.target*")
        shutil.copy(target, folder / "target-0.tiff")
        return [(source / "level-0.dcm" if source.is_dir() else source, None)]

    return drawn


def bigtiff(path: Path) -> Any:
    pixels = sound.tissue(512, 512)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        options = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg", "metadata": None}
        tiff.write(pixels, **options, resolution=(20000, 20000), resolutionunit="CENTIMETER")
        tiff.write(sound.halved(pixels), **options, subfiletype=1)
    return pixels


def profiled(folder: Path) -> list[tuple[Path, Any]]:
    profile = strangers.profile_that_pillow_rewrites()
    path, _ = pixels_only.dicom_pyramid(folder / "dicom", [(512, 512)], profile=profile)
    return [(path, hashlib.sha256(profile).hexdigest())]


def profile_kept(answers: list[Answer]) -> str:
    (answer,) = answers
    if answer.code:
        return f"refused: {answer.refusal}"
    with tifffile.TiffFile(answer.target) as tiff:
        profile = tiff.pages[0].tags["InterColorProfile"].value
    return (
        "byte for byte"
        if hashlib.sha256(profile).hexdigest() == answer.truth
        else f"{len(profile)} other bytes"
    )


def stranger(folder: Path) -> list[tuple[Path, Any]]:
    (folder / "text.svs").write_text("no slide")
    return [(folder / "text.svs", None)]


def picture(folder: Path) -> list[tuple[Path, Any]]:
    strangers.write_picture(folder / "plain.png")
    return [(folder / "plain.png", None)]


def blind(draw: Callable[[Path], Any]) -> Callable[[Path], list[tuple[Path, Any]]]:
    """A slide, and a mask beside it that sees nothing."""

    def drawn(folder: Path) -> list[tuple[Path, Any]]:
        Image.new("L", (256, 256)).save(folder / "nothing.png")
        return [(folder / "slide.svs", draw(folder / "slide.svs"))]

    return drawn


def jpeg_slide(folder: Path) -> list[tuple[Path, Any]]:
    nights.draw_tissue(folder / "slide.svs")
    return [(folder / "slide.svs", None)]


def with_images(folder: Path) -> list[tuple[Path, Any]]:
    """An SVS with label, macro and thumbnail."""
    drawn = SyntheticSlide(Size(1024, 768), seed=6)
    write_slide(folder / "slide.svs", drawn, SyntheticFormat(tile_px=256, downsamples=(1, 2)))
    return [(folder / "slide.svs", None)]


def opened(path: str, then: str = "dimensions") -> str:
    """Convert to JPEG XL and ask the slide that `open_slide` makes of it."""
    return f"{JPEGXL}{THEN}python wsicomp.open_slide({path}).{then}"


def nothing(folder: Path) -> list[tuple[Path, Any]]:
    return [(folder / "nosuch.svs", None)]


CONVERT = "convert SOURCE TARGET --glass keep"
JPEGXL = "convert SOURCE TARGET --codec jpegxl --segmenter threshold"
SOUND = ("jpegxl_rgb_jfif", "jpeg_blank")
"""Files of 0.5.0 whose pixels are right, though some programs show them otherwise."""
VERIFY = "verify TARGET --against SOURCE --json"
GROWN = "convert SOURCE TARGET.{way}.tiff --codec {codec} --glass {way} --segmenter threshold --format tiff"
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
    *(
        Case(
            f"a file of 0.5.0: {name}",
            "verified" if name in SOUND else "found",
            fixture(name),
            VERIFY,
            problems,
        )
        for name in (
            "jpeg2000_420",
            "jpeg2000_transform",
            "jpeg_rgb_jfif",
            "jpeg_ycbcr_adobe0",
            "jpeg2000_pale",
            "dicom_fraction",
            "jpegxl_rgb_jfif",
            "jpeg_blank",
        )
    ),
    Case(
        "tables between SOF and SOS (large_image)",
        "all",
        jpeg_slide,
        f"{CONVERT} --codec jpeg",
        tables_in_place,
    ),
    Case(
        "the same, repacked without loss",
        "all",
        jpeg_slide,
        f"{CONVERT} --codec jpeg --lossless",
        tables_in_place,
    ),
    Case(
        "layout of a generic TIFF (FAST, cuCIM, GDAL, tifffile)",
        "all levels in series[0], no other image in the chain",
        with_images,
        "convert SOURCE TARGET --codec jpegxl",
        layout,
    ),
    Case(
        "a copy of a BigTIFF (tiatoolbox)", "BigTIFF", one(bigtiff, ".tif"), f"{CONVERT} --codec copy", layout
    ),
    Case("an ICC profile from DICOM", "byte for byte", profiled, f"{CONVERT} --codec jpeg", profile_kept),
    Case(
        "open_slide: a path as bytes",
        "opens",
        jpeg_slide,
        opened("__import__('os').fsencode('TARGET')"),
        said,
    ),
    Case("open_slide: filename=", "opens", jpeg_slide, opened("filename='TARGET'"), said),
    Case(
        "open_slide: no such file",
        "FileNotFoundError",
        nothing,
        "python is_missing('SOURCE')",
        said,
    ),
    Case(
        "open_slide: no slide",
        "OpenSlideUnsupportedFormatError",
        stranger,
        "python is_unsupported('SOURCE')",
        said,
    ),
    Case(
        "open_slide: a plain picture",
        "ImageSlide",
        picture,
        "python type(wsicomp.open_slide('SOURCE')).__name__",
        said,
    ),
    Case(
        "open_slide: OpenSlide's cache",
        "taken",
        jpeg_slide,
        opened("'TARGET'", "set_cache(openslide.OpenSlideCache(1 << 20))"),
        said,
    ),
    Case(
        "open_slide: properties after close",
        "raises",
        jpeg_slide,
        f"{JPEGXL}{THEN}python closed_raises('TARGET')",
        said,
    ),
    Case(
        "open_slide: quickhash-1 after white glass",
        "there",
        jpeg_slide,
        opened("'TARGET'", "properties.get('openslide.quickhash-1') is not None"),
        said,
    ),
    Case(
        "open_slide: associated images",
        "sorted, and in the repr",
        with_images,
        opened("'TARGET'", "associated_images"),
        said,
    ),
    Case(
        "open_slide: detect_format, and vendor",
        "agree",
        jpeg_slide,
        f"{JPEGXL}{THEN}python agree_on_format('TARGET')",
        said,
    ),
    *(
        Case(
            f"glass: a thin {shape} (tiles on it and its margin stay)",
            f"{blank:.0%} or a little less",
            blind(lambda path, shape=shape: glass.draw_shape(path, shape)),
            "convert SOURCE TARGET --mask FOLDER/nothing.png --codec copy",
            blanked,
        )
        for shape, blank in (("L", 0.66), ("ring", 0.59), ("frame", 0.39), ("cover glass line", 0.71))
    ),
    Case(
        "glass: white filler beside grey glass",
        "all but tissue and margin",
        one(lambda path: glass.draw_filled(path, "most", 255)),
        "convert SOURCE TARGET --segmenter threshold --codec copy",
        blanked,
    ),
    Case(
        "glass: pale fat at tile borders",
        "none painted",
        one(glass.draw_fat),
        "convert SOURCE TARGET --segmenter threshold --codec jpeg --background #00ff00",
        painted,
    ),
    *(
        Case(
            f"glass: bytes of tiles without it, {codec}",
            "less or equal",
            one(lambda path: glass.draw_filled(path, "corners", 255)),
            f"{GROWN.format(codec=codec, way='keep')}{THEN}{GROWN.format(codec=codec, way='white')}",
            grown,
        )
        for codec in ("jpeg", "jpegxl", "webp")
    ),
    Case(
        "batch --delete-source-after-verify: no tissue, one speck, tissue",
        "glass and speck stay until a person has looked",
        night("glass", "speck", "tissue"),
        "batch SOURCE TARGET --codec copy --delete-source-after-verify --even-if-lossy "
        "--segmenter threshold --margin-um 0",
        kept,
    ),
]
