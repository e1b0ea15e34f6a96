"""Targets that no conversion made: of right form and right digest, and with less in them than their source.

Whoever may write into a target tree can make such a file: it uses the program's own writer, with a plan and
tiles of its own. `SLIDE` is what they are forged of; `FORGERIES` says what is wrong with each.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.codecs.base import Encoded
from wsicomp.codecs.quality import Fidelity
from wsicomp.codecs.registry import create_codec, create_transcoder, encode_tiles
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import write_pyramid
from wsicomp.conversion.prepare import Prepared, prepare
from wsicomp.conversion.tile_stream import StreamOptions, stream_level
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.output_tile import MadeTile, TileOutcome
from wsicomp.formats.converted.writer import PyramidWriter
from wsicomp.formats.opening import open_chosen
from wsicomp.formats.tiff import xmp
from wsicomp.geometry import Mpp, Region, TileIndex
from wsicomp.plan.conversion_plan import Color, ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.progress import Stages
from wsicomp.slide import RGB, Pixels

SIDE, TILE = 512, 128
TISSUE, GLASS = (176, 92, 150), (238, 236, 240)
_TEXT = "Aperio Image Library v12.0\r\n{0}x{0} ({1}x{1}) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5"

COPIED = ConversionConfig.of(segmenter="threshold", margin_um=0)
ENCODED = COPIED.changed(codec="jpeg", quality=90)
WHITE = ENCODED.changed(glass="white")
EMPTIED = COPIED.changed(codec="jpegxl", glass="empty", effort=1)
LOWER = COPIED.changed(from_level=1)
KEPT = COPIED.changed(codec="jpeg", quality=90, glass="keep")
PACKED = COPIED.changed(codec="jpegxl", lossless=True)
RESTORABLE = COPIED.changed(codec="jpegxl", lossless=True, glass="keep", restorable=True)
GUARDED = COPIED.changed(codec="jpeg2000", format="svs")
EXACT = COPIED.changed(codec="none")
POOR = COPIED.changed(codec="jpeg", quality=1)
WEBP = COPIED.changed(codec="webp", quality=80)


def draw_two(folder: Path) -> tuple[Path, Path]:
    """A slide, and another of the same form."""
    paths = folder / "slide.svs", folder / "other.svs"
    for seed, path in enumerate(paths):
        draw_tissue(path, seed)
    return paths


def draw_tissue(path: Path, seed: int = 0) -> NDArray[np.bool_]:
    """An SVS of two levels, downsample 2, with thumbnail, label and macro; returns where its tissue is.

    Glass is right of three quarters of it. The tissue is of a texture that the seed draws.
    """
    chance = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(chance.normal(0, 90, (SIDE, SIDE, 3)), (0, 0), 2.5)
    pixels = np.clip(np.array(TISSUE) + texture, 0, 255)
    truth = np.zeros((SIDE, SIDE), np.bool_)
    truth[:, : SIDE * 11 // 16] = True
    truth[: TILE // 2, TILE // 2 : TILE] = False
    glass = np.array(GLASS) + chance.normal(0, 1.5, (SIDE, SIDE, 1))
    pixels = np.where(truth[..., None], pixels, np.clip(glass, 0, 255)).astype(np.uint8)
    small = cv2.resize(pixels, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    options: dict[str, Any] = {"compression": "jpeg", "photometric": "rgb", "metadata": None}
    options["compressionargs"] = {"level": 90}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, tile=(TILE, TILE), description=_TEXT.format(SIDE, TILE), **options)
        tiff.write(small[::4, ::4].copy(), rowsperstrip=64, description=_TEXT.format(64, 64), **options)
        tiff.write(small, tile=(TILE, TILE), description=_TEXT.format(SIDE // 2, TILE), **options)
        for name, kind in (("label", 1), ("macro", 9)):
            image = np.full((48, 64, 3), (40 + 150 * (kind == 1), 90, 60 + seed), np.uint8)
            text = f"Aperio Image Library v12.0\r\n{name} 64x48"
            tiff.write(image, rowsperstrip=48, subfiletype=kind, description=text, **options)
    return truth


@dataclass(frozen=True)
class Forgery:
    """What is forged of an honest conversion by `config`: its plan, its tiles, what it says of itself.

    `codes` are the problems of which one at least has to be found. `other` is another slide of the same form.
    """

    config: ConversionConfig
    codes: tuple[str, ...]
    plan: Callable[[ConversionPlan], ConversionPlan] = lambda plan: plan
    tile: Callable[[Forged, TileIndex, MadeTile], MadeTile] = lambda forged, index, made: made
    words: Callable[[dict[str, Any], Path], None] = lambda values, source: None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Forged:
    """A level that is being forged."""

    slide: Slide
    other: Slide
    plan: LevelPlan
    glass: Color
    """The colour of glass in its first tile."""

    def encoded(self, pixels: Pixels) -> MadeTile:
        """Pixels as the level's codec makes them, with the best figures that a guard can have."""
        data = create_codec(self.plan.recipes[0].codec, self.plan.recipes[0].options).encode(
            np.ascontiguousarray(pixels)
        )
        best = Fidelity(1.0, 60.0, 0.1) if self.plan.recipes[0].codec == "jpeg2000" else None
        return MadeTile(data, TileOutcome.AS_PLANNED, Encoded(data, best))

    def encoded_as_stated(self, pixels: Pixels) -> MadeTile:
        """Pixels as the level's codec makes them, with its own figures."""
        recipe = self.plan.recipes[0]
        [made] = encode_tiles(create_codec(recipe.codec, recipe.options), [pixels])
        return MadeTile(made.data, TileOutcome.AS_PLANNED, made)


def other_recipes(level: LevelPlan, **changes: Any) -> LevelPlan:
    """A level's plan with recipes that are changed so."""
    return replace(level, recipes=tuple(replace(recipe, **changes) for recipe in level.recipes))


def forge(source: Path, target: Path, forgery: Forgery, other: Path | None = None) -> None:
    """Write what the forgery says, with the digest that a conversion of the source by its config has."""
    config = forgery.config
    output = config.output
    with (
        closing(open_chosen(source, output)) as slide,
        closing(open_chosen(other or source, output)) as another,
    ):
        prepared = _prepared(source, config)
        plan = forgery.plan(prepared.plan)

        def stream(
            slide: Slide, level: LevelPlan, options: StreamOptions, workers: int
        ) -> Iterator[MadeTile]:
            honest = prepared.plan.levels[min(level.number, len(prepared.plan.levels) - 1)]
            forged = Forged(slide, another, level, plan.color(TileIndex(level.number, 0, 0)))
            made = dict(enumerate(stream_level(slide, honest, options, workers)))
            for number, index in enumerate(level.grid.raster(level.source_level)):
                yield forgery.tile(forged, index, made.get(number, made[0]))

        with PyramidWriter(target, plan, slide.info.icc_profile, overwrite=True) as writer:
            write_pyramid(writer, slide, replace(prepared, plan=plan), config, lambda *_: None, stream)
            writer.commit()
    _edit(target, lambda values: forgery.words(values, other or source))


@lru_cache(maxsize=32)
def _prepared(source: Path, config: ConversionConfig) -> Prepared:
    with closing(open_chosen(source, config.output)) as slide:
        return prepare(slide, config, Stages())


def _edit(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags[xmp.XMP_TAG]
        values = json.loads(xmp.unwrap(tag.value))
        edit(values)
        tag.overwrite(xmp.wrap(json.dumps(values, separators=(",", ":"), sort_keys=True)))


def _lettered(
    letter: TileAction, *only: TileAction, level: int | None = None
) -> Callable[..., ConversionPlan]:
    """All tiles of a level, or of all, take this letter; or those that have one of some."""

    def changed(plan: ConversionPlan) -> ConversionPlan:
        levels = []
        for old in plan.levels:
            actions = old.actions.copy()
            if level is None or level == old.number:
                actions[np.isin(actions, [one.value for one in only]) if only else slice(None)] = letter.value
            levels.append(replace(old, actions=actions))
        return replace(plan, levels=tuple(levels))

    return changed


def _one(letter: TileAction, level: int = 0) -> Callable[[ConversionPlan], ConversionPlan]:
    """One tile of tissue takes this letter."""

    def changed(plan: ConversionPlan) -> ConversionPlan:
        actions = plan.levels[level].actions.copy()
        actions[1, 1] = letter.value
        levels = [*plan.levels]
        levels[level] = replace(levels[level], actions=actions)
        return replace(plan, levels=tuple(levels))

    return changed


def _blank(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    """As the letters say: nothing, background, or what an honest conversion made."""
    letter = forged.plan.actions[index.row, index.column]
    if letter == TileAction.EMPTY.value:
        return MadeTile(b"")
    return MadeTile(None) if letter == TileAction.BLANK.value else made


def _pixels(edit: Callable[[Pixels, TileIndex], Pixels]) -> Callable[..., MadeTile]:
    """Every tile is encoded from the source's pixels as they are edited."""

    def tile(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
        if made.data is None or not made.data:
            return made
        return forged.encoded(edit(forged.slide.read_tile(index).copy(), index))

    return tile


def _all_white(pixels: Pixels, index: TileIndex) -> Pixels:
    return np.full_like(pixels, 255)


def _all_glass(pixels: Pixels, index: TileIndex) -> Pixels:
    return np.full_like(pixels, GLASS)


def _corner_white(pixels: Pixels, index: TileIndex) -> Pixels:
    if index == TileIndex(0, 1, 1):
        pixels[32:80, 32:80] = 255
    return pixels


def painted_over(region: Region, config: ConversionConfig) -> Forgery:
    """A plan by which tiles are painted, and a region of level 0 that shows glass whatever it was."""

    def tile(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
        part = forged.plan.grid.region(index.column, index.row)
        covered = np.zeros(forged.plan.size.shape, np.bool_)
        covered[region.y : region.y + region.height, region.x : region.x + region.width] = True
        here = covered[part.y : part.y + part.height, part.x : part.x + part.width]
        pixels = forged.slide.read_tile(index).copy()
        pixels[: part.height, : part.width][here] = forged.glass
        return forged.encoded_as_stated(pixels) if made.data and here.any() else made

    return Forgery(config, ("tile-blanked",), _lettered(MASK, ENCODE), tile)


def _faded(pixels: Pixels, index: TileIndex) -> Pixels:
    return np.clip(pixels * 0.3 + 255 * 0.7, 0, 255).astype(np.uint8)


def _blocks(edit: Callable[[Any], Any]) -> Callable[[Pixels, TileIndex], Pixels]:
    """Each block of 16 x 16 px is edited, so that its mean stays."""

    def edited(pixels: Pixels, index: TileIndex) -> Pixels:
        rows, columns = (side // 16 for side in pixels.shape[:2])
        blocks = pixels.reshape(rows, 16, columns, 16, 3).swapaxes(1, 2).astype(np.float32)
        made = edit(blocks).swapaxes(1, 2).reshape(pixels.shape)
        return np.clip(np.rint(made), 0, 255).astype(np.uint8)

    return edited


def _means(blocks: Any) -> Any:
    return np.broadcast_to(blocks.mean((2, 3), keepdims=True), blocks.shape)


def _corner_blurred(pixels: Pixels, index: TileIndex) -> Pixels:
    """One place of 48 px, as if a nucleus were wiped away."""
    if index == TileIndex(0, 1, 1):
        pixels[32:80, 32:80] = _MOSAIC(pixels, index)[32:80, 32:80]
    return pixels


_MOSAIC = _blocks(_means)
_TURNED = _blocks(lambda blocks: blocks[:, :, ::-1, ::-1])
_INVERTED = _blocks(lambda blocks: 2 * _means(blocks) - blocks)


def _of_little(plan: ConversionPlan) -> ConversionPlan:
    """Says that its codec was to keep little."""
    return replace(plan, levels=tuple(other_recipes(level, options={"psnr": 20}) for level in plan.levels))


def _of_another_name(plan: ConversionPlan) -> ConversionPlan:
    return replace(plan, description=plan.description.replace("AppMag", "ImageID = 666|AppMag"))


def _of_another_label(values: dict[str, Any], source: Path) -> None:
    values["properties"]["aperio.ImageID"] = "666"
    values["properties"]["aperio.AppMag"] = "21"


def _shifted(pixels: Pixels, index: TileIndex) -> Pixels:
    return np.roll(pixels, 40, axis=0)


def _of_other(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    """The other slide's tile: its bytes, packed, or its pixels encoded."""
    if made.data is None or not made.data:
        return made
    if forged.plan.recipes[0].codec == "copy":
        return MadeTile(forged.other.read_encoded_tile(index).data)
    if forged.plan.count(TileAction.TRANSCODE):
        return MadeTile(
            create_transcoder(forged.plan.recipes[0].codec).transcode(forged.other.read_encoded_tile(index))
        )
    return forged.encoded(forged.other.read_tile(index))


def _of_other_place(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    """The tile beside it."""
    if made.data is None or not made.data:
        return made
    beside = TileIndex(index.level, index.column and index.column - 1, index.row)
    if forged.plan.recipes[0].codec == "copy":
        return MadeTile(forged.slide.read_encoded_tile(beside).data)
    return forged.encoded(forged.slide.read_tile(beside))


def _of_level_0(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    """Level 0's own tile, whatever the level."""
    if forged.plan.number == 0:
        return made
    return MadeTile(forged.slide.read_encoded_tile(TileIndex(0, index.column, index.row)).data)


def _lost(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    return MadeTile(None, TileOutcome.LOST) if made.data else made


def _flawed(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    if not made.data:
        return made
    return forged.encoded(_all_white(forged.slide.read_tile(index), index))._replace(
        outcome=TileOutcome.FLAWED
    )


def _from_level_0(plan: ConversionPlan) -> ConversionPlan:
    """Level 1 says that it is made from level 0."""
    level = replace(plan.levels[1], source_level=0, actions=np.full((2, 2), TileAction.COPY.value))
    return replace(plan, levels=(plan.levels[0], level))


def _fewer(plan: ConversionPlan) -> ConversionPlan:
    return replace(plan, levels=plan.levels[:1])


def _beginning_at(number: int) -> Callable[[ConversionPlan], ConversionPlan]:
    """Says that the target begins at this level of the source."""

    def changed(plan: ConversionPlan) -> ConversionPlan:
        return replace(plan, stated_config={**plan.stated_config, "from_level": number})

    return changed


def _of_full_scale(plan: ConversionPlan) -> ConversionPlan:
    return replace(plan, mpp=Mpp(0.5, 0.5), objective_power=20.0)


def _of_full_text(plan: ConversionPlan) -> ConversionPlan:
    return replace(plan, description=_TEXT.format(SIDE, TILE))


def _smaller(plan: ConversionPlan) -> ConversionPlan:
    """The largest level is left out: the smaller one stands as if it were made from it."""
    small = plan.levels[1]
    return replace(
        plan,
        levels=(replace(small, number=0, source_level=0, reduction=2, actions=np.full((2, 2), "E")),),
    )


def _half(forged: Forged, index: TileIndex, made: MadeTile) -> MadeTile:
    return forged.encoded(forged.slide.read_tile(TileIndex(1, index.column, index.row)))


def _without_images(plan: ConversionPlan) -> ConversionPlan:
    return replace(plan, images=tuple(name for name in plan.images if name == "thumbnail"))


def _said_dropped(plan: ConversionPlan) -> ConversionPlan:
    return replace(_without_images(plan), dropped=("label", "macro"))


def _of_another_source(values: dict[str, Any], source: Path) -> None:
    """Says that it was made from a conversion of the source, as one may be."""
    own = values["plan"]["source"]
    own["origin_sha256"], own["sha256"] = own["sha256"], "0" * 64


def _larger_source(values: dict[str, Any], source: Path) -> None:
    values["plan"]["source"]["bytes"] *= 10


def _whole_mask(values: dict[str, Any], source: Path) -> None:
    """A mask of the user's, by which all that went was glass, and much tissue stays."""
    values["mask"] = {
        "source": "file",
        "shape": [64, 64],
        "level0_px_per_mask_px": [8.0, 8.0],
        "tissue_fraction_with_margin": 0.9,
        "rescued_tiles": 0,
    }


def _no_mask(values: dict[str, Any], source: Path) -> None:
    values["mask"] = None


def _no_figures(values: dict[str, Any], source: Path) -> None:
    values["mask"]["tissue_fraction_with_margin"] = 7.5


def _renewed(values: dict[str, Any], source: Path) -> None:
    """Says of a tile that it was encoded anew to name nobody, where names were to stay."""
    values["levels"][0]["renewed"] = [0]


def _worst_figures(values: dict[str, Any], source: Path) -> None:
    """Says of guarded tiles that some are as bad as can be, so that none is too bad."""
    for level in values["levels"]:
        if level["guarded"]:
            level["guarded"] |= {"most_color_shift": 255.0, "least_psnr": 0.0, "least_ssim": -1.0}


def _guard_of_jpeg(values: dict[str, Any], source: Path) -> None:
    """Says that tiles of a codec without a guard were measured, and may be anything."""
    worst = {"tiles": 1, "refined": 0, "sparse": 0, "repacked": 0, "fell_back": [], "mean_ssim": 0.0}
    worst |= {"least_ssim": -1.0, "mean_psnr": 0.0, "least_psnr": 0.0, "most_color_shift": 255.0}
    for level in values["levels"]:
        level["guarded"] = worst


def _other_colors(plan: ConversionPlan) -> ConversionPlan:
    """The source's bytes, said to hold RGB where they hold YCbCr."""
    levels = []
    for level in plan.levels:
        encoding = replace(level.encoding, photometric=RGB)
        levels.append(other_recipes(level, encoding=encoding, shown=encoding))
    return replace(plan, levels=tuple(levels))


def restorable_lie(source: Path, target: Path, other: Path) -> None:
    """Append what rebuilds another slide, sound by its own digest, and say that it restores this one."""
    forge(source, target, Forgery(RESTORABLE, ()))
    nothing = np.zeros(1, "<i8").tobytes()
    remainder = lzma.compress(nothing + other.read_bytes())
    with target.open("r+b") as file:
        offset = file.seek(0, 2)
        file.write(remainder)

    def lie(values: dict[str, Any]) -> None:
        digest = hashlib.sha256(remainder).hexdigest()
        values["restoration"] = {"offset": offset, "bytes": len(remainder), "sha256": digest}

    _edit(target, lie)


BLANK, EMPTY, ENCODE, MASK = TileAction.BLANK, TileAction.EMPTY, TileAction.ENCODE, TileAction.MASK_AND_ENCODE

FORGERIES: dict[str, Forgery] = {
    "every tile blank": Forgery(COPIED, ("tile-blanked",), _lettered(BLANK), _blank),
    "every tile of tissue blank": Forgery(
        COPIED, ("tile-blanked",), _lettered(BLANK, TileAction.COPY), _blank
    ),
    "every tile empty": Forgery(EMPTIED, ("tile-blanked",), _lettered(EMPTY), _blank),
    "one tile blank": Forgery(COPIED, ("tile-blanked",), _one(BLANK), _blank),
    "one tile blank, packed": Forgery(PACKED, ("tile-blanked",), _one(BLANK), _blank),
    "one tile blank of the small level": Forgery(ENCODED, ("tile-blanked",), _one(BLANK, 1), _blank),
    "the small level blank": Forgery(COPIED, ("tile-blanked",), _lettered(BLANK, level=1), _blank),
    "blank by a mask": Forgery(
        COPIED, ("tile-blanked",), _lettered(BLANK, TileAction.COPY), _blank, _whole_mask
    ),
    "blank where glass was kept": Forgery(KEPT, ("plan-differs",), _lettered(BLANK), _blank),
    "painted where glass was kept": Forgery(KEPT, ("plan-differs",), _lettered(MASK), _pixels(_all_white)),
    "empty where glass is white": Forgery(COPIED, ("plan-differs",), _lettered(EMPTY, level=1), _blank),
    "without a mask": Forgery(COPIED, ("plan-differs",), words=_no_mask),
    "encoded anew where names stay": Forgery(COPIED, ("plan-differs",), words=_renewed),
    "with no figures of a mask": Forgery(COPIED, ("plan-differs",), words=_no_figures),
    "painted over": Forgery(WHITE, ("tile-blanked",), _lettered(MASK, ENCODE), _pixels(_all_white)),
    "painted over in the colour of glass": Forgery(
        ENCODED, ("tile-blanked",), _lettered(MASK, ENCODE), _pixels(_all_glass)
    ),
    "painted over in part": Forgery(WHITE, ("tile-blanked",), _one(MASK), _pixels(_corner_white)),
    "encoded as background": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_all_white)),
    "encoded with a hole": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_corner_white)),
    "encoded and faded": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_faded)),
    "encoded elsewhere": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_shifted)),
    "encoded as background by a poor codec": Forgery(POOR, ("tile-unlike",), tile=_pixels(_all_white)),
    "encoded with figures of a guard": Forgery(
        ENCODED, ("tile-unlike",), tile=_pixels(_faded), words=_guard_of_jpeg
    ),
    "guarded, as background": Forgery(GUARDED, ("tile-unfaithful", "tile-unlike"), tile=_pixels(_all_white)),
    "guarded, by figures that allow all": Forgery(
        GUARDED, ("tile-unlike",), tile=_pixels(_faded), words=_worst_figures
    ),
    "exact, with a hole": Forgery(EXACT, ("tile-unlike",), tile=_pixels(_corner_white)),
    "copied from another slide": Forgery(COPIED, ("tile-differs",), tile=_of_other),
    "packed from another slide": Forgery(PACKED, ("tile-differs",), tile=_of_other),
    "encoded from another slide": Forgery(ENCODED, ("tile-unlike",), tile=_of_other),
    "copied from another place": Forgery(COPIED, ("tile-differs",), tile=_of_other_place),
    "encoded from another place": Forgery(ENCODED, ("tile-unlike",), tile=_of_other_place),
    "a level of tiles of another level": Forgery(COPIED, ("plan-differs",), _from_level_0, _of_level_0),
    "a level left out": Forgery(COPIED, ("level-differs", "plan-differs"), _fewer),
    "finer levels left out without a word": Forgery(
        LOWER, ("level-differs", "plan-differs"), _beginning_at(0)
    ),
    "a finer level that is said to be left out": Forgery(
        COPIED, ("level-differs", "plan-differs"), _beginning_at(1)
    ),
    "more finer levels than there are": Forgery(LOWER, ("level-differs", "plan-differs"), _beginning_at(9)),
    "finer levels left out, at their scale": Forgery(LOWER, ("property-differs",), _of_full_scale),
    "finer levels left out, in their words": Forgery(
        LOWER.changed(format="tiff"), ("property-differs",), _of_full_text
    ),
    "smaller": Forgery(ENCODED, ("level-differs", "plan-differs"), _smaller, _half),
    "lost": Forgery(COPIED, ("tile-not-lost",), tile=_lost),
    "lost, to be encoded": Forgery(ENCODED, ("tile-not-lost",), tile=_lost),
    "flawed": Forgery(ENCODED, ("tile-not-lost",), tile=_flawed),
    "said to hold other colours": Forgery(COPIED, ("tile-differs",), _other_colors),
    "without label and macro": Forgery(COPIED, ("associated-missing",), _without_images),
    "without label and macro, and says so": Forgery(COPIED, ("associated-missing",), _said_dropped),
    "made from a conversion, blank": Forgery(
        COPIED, ("tile-blanked",), _lettered(BLANK, TileAction.COPY), _blank, _of_another_source
    ),
    "made from a conversion, as background": Forgery(
        ENCODED, ("tile-blanked", "tile-unlike"), tile=_pixels(_all_white), words=_of_another_source
    ),
    "made from a conversion, of another place": Forgery(
        ENCODED, ("tile-blanked", "tile-unlike"), tile=_of_other_place, words=_of_another_source
    ),
    "encoded as a mosaic": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_MOSAIC)),
    "encoded as a mosaic by JPEG XL": Forgery(EMPTIED, ("tile-unlike",), tile=_pixels(_MOSAIC)),
    "encoded as a mosaic by WebP": Forgery(WEBP, ("tile-unlike",), tile=_pixels(_MOSAIC)),
    "encoded as a mosaic in one place": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_corner_blurred)),
    "encoded with each block turned": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_TURNED)),
    "encoded with detail inverted": Forgery(ENCODED, ("tile-unlike",), tile=_pixels(_INVERTED)),
    "guarded, a mosaic that says it keeps little": Forgery(
        GUARDED, ("tile-unlike",), _of_little, _pixels(_MOSAIC), _worst_figures
    ),
    "made from a conversion, as a mosaic": Forgery(
        ENCODED, ("tile-unlike",), tile=_pixels(_MOSAIC), words=_of_another_source
    ),
    "with another slide's name": Forgery(COPIED, ("property-differs",), _of_another_name),
    "with another slide's properties": Forgery(COPIED, ("property-differs",), words=_of_another_label),
    "made from more bytes": Forgery(COPIED, ("source-differs",), words=_larger_source),
}
"""By what a person would call it; `other` is another slide of the same form."""

REMAINDER = "a remainder of another slide"


def forge_named(source: str, target: str, name: str, other: str) -> None:
    """Write a forgery by its name, or the remainder that rebuilds another slide."""
    if name == REMAINDER:
        restorable_lie(Path(source), Path(target), Path(other))
    else:
        forge(Path(source), Path(target), FORGERIES[name], Path(other))
