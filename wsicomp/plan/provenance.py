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
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wsicomp.errors import SlideReadError
from wsicomp.files.json_values import Figure, Natural, Offset, parsed, parsed_text, plain
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction

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

    tiles: Natural
    """The count of the tiles."""
    refined: Natural
    """Tiles that took a higher quality than was asked for."""
    sparse: Natural
    """Tiles that are smaller by another codec."""
    repacked: Natural
    """Tiles that are smaller by the source's own JPEG coefficients."""
    mean_ssim: Figure
    """The mean SSIM, at most 1."""
    least_ssim: Figure
    """The least SSIM of a tile."""
    mean_psnr: Figure | None
    """The mean PSNR in dB, lossless tiles left out; None where all are lossless."""
    least_psnr: Figure | None
    """The least PSNR in dB; None where all are lossless."""
    most_color_shift: Figure
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
        values = plain(self)
        if not self.guarded_by_recipe:
            del values["guarded_by_recipe"]
        return values


@dataclass(frozen=True)
class Restoration:
    """The place in a file of the bytes that rebuild its source."""

    offset: Offset
    """The offset of the first byte."""
    bytes: Offset
    """Their count."""
    sha256: str
    """The SHA-256 of the index; of all of them in files of 0.7 and before."""
    index_bytes: Offset = 0
    """The bytes of the index, which are the last; 0 in files of 0.7 and before, which have none."""


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
        """Whether each tile has the pixels of the source's, and no finer level is left out."""
        carried = [TileAction.COPY, TileAction.TRANSCODE]
        if self.plan.keeps_glass:
            carried.append(TileAction.EMPTY)  # as in the source: there was nothing to take out
        return all(
            level.reduction == 1 and sum(map(level.count, carried)) == level.grid.count
            for level in self.plan.levels
        ) and not (self.plan.from_level or any(level.lost for level in self.levels))

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
            "restoration": None if self.restoration is None else plain(self.restoration),
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
            stated = parsed_text(text, _Stated)
            texts = _unpacked(stated.texts)
            described = parsed(stated.plan, _StatedDescription).description
            plan = ConversionPlan.from_json(
                {**stated.plan, "description": _resolved(described, texts)}, most_tiles
            )
            parsed(stated.mask or {}, _StatedMask)
            for level, record in zip(plan.levels, stated.levels, strict=True):
                _check_record(level, record)
            return cls(
                plan,
                stated.mask,
                {name: _resolved(value, texts) for name, value in stated.properties.items()},
                stated.levels,
                stated.icc_sha256,
                {name: stated.image_sha256[name] for name in plan.images},
                stated.restoration,
            )
        except (ValueError, LookupError, TypeError, zlib.error) as exc:
            raise SlideReadError(f"damaged provenance ({exc})", place="XMP packet") from exc


@dataclass(frozen=True)
class _StatedText:
    """The number of a text that is stored packed."""

    text: Natural


@dataclass(frozen=True)
class _StatedDescription:
    description: str | _StatedText


@dataclass(frozen=True)
class _StatedMask:
    """The figures of a mask that are read again."""

    tissue_fraction_with_margin: Figure = 0
    rescued_tiles: Natural = 0


@dataclass(frozen=True)
class _Stated:
    """A provenance as its text states it."""

    plan: Mapping[str, Any]
    mask: Mapping[str, Any] | None
    properties: Mapping[str, str | _StatedText]
    levels: tuple[LevelRecord, ...]
    icc_sha256: str
    image_sha256: Mapping[str, str]
    restoration: Restoration | None
    texts: tuple[bytes, ...] = ()


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


def _unpacked(packed: Iterable[bytes]) -> list[str]:
    texts, left = [], _MOST_TEXT_BYTES
    for each in packed:
        packer = zlib.decompressobj()
        data = packer.decompress(each, left)
        left -= len(data)
        if not packer.eof or left <= 0:
            raise ValueError("a text that is cut off, or larger than any source's")
        texts.append(data.decode("utf-8", "surrogatepass"))
    return texts


def _resolved(value: str | _StatedText, texts: list[str]) -> str:
    return value if isinstance(value, str) else texts[value.text]


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


def _check_record(plan: LevelPlan, record: LevelRecord) -> None:
    """Check a record of a level's tiles by the level's plan.

    Raises:
        ValueError: it has tiles, digests or recipes that the level does not have.
    """
    count = plan.grid.count
    guarded = [each.fell_back for each in (record.guarded, *record.guarded_by_recipe) if each is not None]
    for numbers in (record.kept, record.flawed, record.lost, record.renewed, *guarded):
        if any(not 0 <= number < count for number in numbers):
            raise ValueError(f"a tile number beyond {count}")
    own = int((~np.isin(plan.actions, WITHOUT_BYTES)).sum()) - len(set(record.lost))
    if len(record.digests) != own * DIGEST_BYTES:
        raise ValueError(f"{len(record.digests)} bytes of digests for {own} tiles")
    if len(record.guarded_by_recipe) != (len(plan.recipes) if plan.chosen is not None else 0):
        raise ValueError(f"{len(record.guarded_by_recipe)} recipes' figures, of {len(plan.recipes)} recipes")
