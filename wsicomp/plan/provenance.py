"""The provenance of a written file: its plan, the mask's figures, and digests of all that the file holds.

It is JSON in the XMP packet of the first image, in both containers. A reader checks every tile against its
digest, so that a damaged one is an error and never a picture.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from wsicomp.errors import SlideReadError
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.stated_values import figure, natural

DIGEST_BYTES = 8
"""Bytes of a tile's digest."""
_SOME_VALUES, _VALUES_A_TILE = 1_000_000, 8
"""The most values that the text may have, and for each tile.

In memory each takes a hundred times its text.
"""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_LONG_TEXT, _MOST_TEXT_BYTES = 1 << 20, 1 << 28
_TEXT, _TEXTS, _ESCAPED = "text", "texts", "<>&"
"""Texts with more letters than a slide has are stored packed, once each, and referred to by their number.

In other texts XML's special letters are escaped.
"""
WITHOUT_BYTES = (TileAction.BLANK.value, TileAction.EMPTY.value)
"""The letters of tiles that have no bytes of their own."""


@dataclass(frozen=True)
class GuardFigures:
    """Figures over the tiles of a guarded codec, which measures each against its source's pixels."""

    tiles: int
    """The count of the tiles."""
    refined: int
    """Tiles that took a higher quality than was asked for."""
    sparse: int
    """Tiles that are smaller by another codec."""
    repacked: int
    """Tiles that are smaller by the source's own JPEG coefficients."""
    mean_ssim: float
    """The mean SSIM, at most 1."""
    least_ssim: float
    """The least SSIM of a tile."""
    mean_psnr: float | None
    """The mean PSNR in dB, lossless tiles left out; None where all are lossless."""
    least_psnr: float | None
    """The least PSNR in dB; None where all are lossless."""
    most_color_shift: float
    """The largest colour shift of blocks of 16 x 16 px, in grey levels."""


@dataclass(frozen=True)
class Guarded(GuardFigures):
    """The figures of a guarded codec over a level's tiles, or over those of a recipe."""

    fell_back: tuple[int, ...]
    """The raster numbers of tiles that were not true enough at any quality, and are by another codec."""


@dataclass(frozen=True)
class LevelRecord:
    """The record of a level's tiles, which are numbered in raster order."""

    sha256: str
    """SHA-256 over the bytes that the file stores for each tile, blank ones too."""
    digests: bytes = field(repr=False)
    """8 bytes of BLAKE2b for each tile that is neither blank nor empty."""
    kept: tuple[int, ...] = ()
    """Tiles that could not be transcoded, and are stored as `TileTranscoder.keep` makes them."""
    flawed: tuple[int, ...] = ()
    """Tiles that decode only in part, and were encoded or packed all the same."""
    lost: tuple[int, ...] = ()
    """Tiles that could not be decoded, and are background."""
    guarded: Guarded | None = None
    """The figures of a guarded codec; None where no codec has a guard."""
    renewed: tuple[int, ...] = ()
    """Tiles that were to be copied or transcoded and had to be encoded, to name nobody."""
    guarded_by_recipe: tuple[Guarded | None, ...] = ()
    """`guarded` for the tiles of each recipe, where the level has several."""

    def guarded_of(self, recipe: int) -> Guarded | None:
        """Return the figures of a guarded codec for one recipe; None where its codec has no guard.

        `recipe` is the recipe's index in the level's `recipes`.
        """
        return self.guarded_by_recipe[recipe] if self.guarded_by_recipe else self.guarded

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; figures by recipe only where the level has several."""
        values = asdict(self) | {"digests": base64.b64encode(self.digests).decode()}
        if not self.guarded_by_recipe:
            del values["guarded_by_recipe"]
        return values


@dataclass(frozen=True)
class Restoration:
    """The place in a file of the bytes that rebuild its source."""

    offset: int
    """The offset of the first byte."""
    bytes: int
    """Their count."""
    sha256: str
    """Their SHA-256."""


@dataclass(frozen=True)
class Provenance:
    """The provenance of a written file."""

    plan: ConversionPlan
    """Its plan."""
    mask: Mapping[str, Any] | None
    """The figures of its tissue mask; None where glass was kept."""
    properties: Mapping[str, str]
    """OpenSlide's properties of the source."""
    levels: tuple[LevelRecord, ...]
    """A record for each level of the plan."""
    icc_sha256: str
    """SHA-256 over the ICC profile; over no bytes where there is none."""
    image_sha256: Mapping[str, str]
    """The digest of each associated image."""
    restoration: Restoration | None = None
    """The place of the bytes that rebuild the source; None where it cannot be rebuilt."""

    @property
    def shows_every_pixel(self) -> bool:
        """Whether each tile has the pixels of the source's."""
        carried = [TileAction.COPY, TileAction.TRANSCODE]
        if self.plan.keeps_glass:
            carried.append(TileAction.EMPTY)  # as in the source: there was nothing to take out
        return all(
            level.reduction == 1 and sum(map(level.count, carried)) == level.grid.count
            for level in self.plan.levels
        ) and not any(level.lost for level in self.levels)

    def to_text(self) -> str:
        """Return ASCII JSON."""
        long = _long_texts(self.plan.description, self.properties)
        numbers = {text: {_TEXT: number} for number, text in enumerate(long)}
        plan = self.plan.to_json()
        values = {
            "plan": plan | {"description": numbers.get(self.plan.description, self.plan.description)},
            "mask": self.mask,
            "properties": {name: numbers.get(text, text) for name, text in self.properties.items()},
            "levels": [level.to_json() for level in self.levels],
            "icc_sha256": self.icc_sha256,
            "image_sha256": dict(self.image_sha256),
            "restoration": None if self.restoration is None else asdict(self.restoration),
        }
        packed = {_TEXTS: [_packed(text) for text in long]} if long else {}
        return json.dumps(values | packed, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_text(cls, text: str, most_tiles: int = 1 << 26) -> Provenance:
        """Return the provenance that `to_text` wrote.

        A text that states more than `most_tiles` tiles and strips is refused before memory is taken for them.

        Raises:
            SlideReadError: the text is damaged, is no provenance, or states more tiles.
        """
        try:
            _check_count(text, _SOME_VALUES + _VALUES_A_TILE * most_tiles)
            values = json.loads(text)
            texts = _unpacked(values.get(_TEXTS, []))
            description = _resolved(values["plan"]["description"], texts)
            plan = ConversionPlan.from_json({**values["plan"], "description": description}, most_tiles)
            return cls(
                plan,
                _mask(values["mask"]),
                {str(name): str(_resolved(value, texts)) for name, value in values["properties"].items()},
                tuple(
                    _record(level, record)
                    for level, record in zip(plan.levels, values["levels"], strict=True)
                ),
                str(values["icc_sha256"]),
                {name: str(values["image_sha256"][name]) for name in plan.images},
                None if values["restoration"] is None else _restoration(values["restoration"]),
            )
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            zlib.error,
        ) as exc:
            raise SlideReadError(f"damaged provenance ({exc})", place="XMP packet") from exc


def texts_bytes(description: str, properties: Mapping[str, str]) -> int:
    """Return the most bytes that a source's texts take in a written file's provenance."""
    long = _long_texts(description, properties)
    short = [text for text in (description, *properties, *properties.values()) if text not in long]
    escaped = sum(len(json.dumps(text)) + 5 * sum(map(text.count, _ESCAPED)) for text in short)
    return escaped + sum(len(_encoded(text)) * 3 // 2 for text in long)


def _long_texts(description: str, properties: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(text for text in (description, *properties.values()) if len(text) > _LONG_TEXT))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _packed(text: str) -> str:
    return base64.b64encode(zlib.compress(_encoded(text), 1)).decode()


def _unpacked(values: Iterable[str]) -> list[str]:
    texts, left = [], _MOST_TEXT_BYTES
    for value in values:
        packer = zlib.decompressobj()
        data = packer.decompress(base64.b64decode(value, validate=True), left)
        left -= len(data)
        if not packer.eof or left <= 0:
            raise ValueError("a text that is cut off, or larger than any source's")
        texts.append(data.decode("utf-8", "surrogatepass"))
    return texts


def _resolved(value: Any, texts: list[str]) -> Any:
    return texts[natural(value[_TEXT])] if isinstance(value, dict) else value


def _check_count(text: str, most: int) -> None:
    """Check how many values a text has, without those inside strings.

    Raises:
        ValueError: there are more than `most`.
    """
    parts = sum(map(text.count, ",[{"))
    if parts > most:
        parts = sum(map(_STRING.sub("", text).count, ",[{"))
    if parts > most:
        raise ValueError(f"{parts} values, expected at most {most}")


def _mask(values: Any) -> Mapping[str, Any] | None:
    """Return the figures of a mask, those that are used later checked."""
    if values is None:
        return None
    figure(values.get("tissue_fraction_with_margin", 0))
    natural(values.get("rescued_tiles", 0))
    return dict(values)


def _restoration(values: Mapping[str, Any]) -> Restoration:
    offset, size = values["offset"], values["bytes"]
    if (
        type(offset) is not int
        or type(size) is not int
        or not 0 <= min(offset, size) <= offset + size < 1 << 62
    ):
        raise ValueError("what rebuilds the source is nowhere")
    return Restoration(offset, size, str(values["sha256"]))


def _record(plan: LevelPlan, values: Mapping[str, Any]) -> LevelRecord:
    count = plan.grid.count
    kept, flawed, lost, renewed = (
        tuple(int(number) for number in values.get(name, ()))
        for name in ("kept", "flawed", "lost", "renewed")
    )
    if any(not 0 <= number < count for number in (*kept, *flawed, *lost, *renewed)):
        raise ValueError(f"a tile number beyond {count}")
    digests = base64.b64decode(values["digests"], validate=True)
    own = int((~np.isin(plan.actions, WITHOUT_BYTES)).sum()) - len(set(lost))
    if len(digests) != own * DIGEST_BYTES:
        raise ValueError(f"{len(digests)} bytes of digests for {own} tiles")
    by_recipe = values.get("guarded_by_recipe", ())
    if len(by_recipe) != (len(plan.recipes) if plan.chosen is not None else 0):
        raise ValueError(f"{len(by_recipe)} recipes' figures, of {len(plan.recipes)} recipes")
    return LevelRecord(
        str(values["sha256"]),
        digests,
        kept,
        flawed,
        lost,
        _guarded(values.get("guarded"), count),
        renewed,
        tuple(_guarded(each, count) for each in by_recipe),
    )


def _guarded(values: Mapping[str, Any] | None, count: int) -> Guarded | None:
    if values is None:
        return None
    fell_back = tuple(int(number) for number in values["fell_back"])
    if any(not 0 <= number < count for number in fell_back):
        raise ValueError(f"a tile number beyond {count}")
    mean_psnr, least_psnr = values["mean_psnr"], values["least_psnr"]
    return Guarded(
        tiles=natural(values["tiles"]),
        refined=natural(values["refined"]),
        sparse=natural(values["sparse"]),
        repacked=natural(values["repacked"]),
        fell_back=fell_back,
        mean_ssim=figure(values["mean_ssim"]),
        least_ssim=figure(values["least_ssim"]),
        mean_psnr=None if mean_psnr is None else figure(mean_psnr),
        least_psnr=None if least_psnr is None else figure(least_psnr),
        most_color_shift=figure(values["most_color_shift"]),
    )
