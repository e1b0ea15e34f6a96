"""What codecs promise: the protocols of tile codecs, transcoders and tile formats."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from wsicomp.geometry import Size
from wsicomp.options import Option
from wsicomp.quality import Fidelity
from wsicomp.slide import EncodedTile, Pixels, TileEncoding

Options: TypeAlias = Mapping[str, int | float | bool | str]
"""The arguments of a codec's constructor that differ from its defaults."""


class Program(enum.Enum):
    """A program that people open slides with; each codec says of its compressions which of them read it."""

    OPENSLIDE = "OpenSlide 4.0.1 and later"
    OPENSLIDE_400 = "OpenSlide 4.0.0"
    OPENSLIDE_34 = "OpenSlide 3.4"
    QUPATH = "QuPath 0.7"
    LIBVIPS = "libvips"
    BIOFORMATS = "Bio-Formats"
    TIFFFILE = "tifffile"
    FAST = "FAST"
    TIATOOLBOX = "tiatoolbox"
    LARGE_IMAGE = "large_image"
    CUCIM = "cuCIM"
    GDAL = "GDAL"
    SLIDEIO = "slideio"
    LIBTIFF = "libtiff"


EVERY_PROGRAM = frozenset(Program)


@dataclass(frozen=True)
class Compression:
    """A TIFF Compression whose tiles a codec reads."""

    number: int
    label: str
    """What people call it."""
    detail: str = ""
    """What tells it from another compression of the same label."""
    readers: frozenset[Program] = frozenset()
    """The programs that read it, too; `wsicomp.formats.compatibility` says what the others do instead."""
    only_in_svs: bool = False
    """Whether OpenSlide reads it in an SVS alone."""
    in_svs: bool = False
    """Whether OpenSlide's aperio driver reads it, which Aperio writes."""


@dataclass(frozen=True)
class QualityDial:
    """What a codec turns for quality."""

    option: str
    """The option that it is."""
    coarse: float
    fine: float
    """Where a search for a quality begins and ends."""
    ladder: tuple[float, ...]
    """The settings of a curve."""
    is_whole: bool = False
    """Whether it takes integers alone."""
    unit: str = ""
    """What stands behind the number in a codec's short name, as in "jpeg2000:37dB"."""
    fixed: Options = field(default_factory=dict)
    """Other options that go with it."""


@dataclass(frozen=True)
class CodecInfo:
    """What a codec's module declares of it; all that others know of it comes from here."""

    name: str
    module: str
    """The module that implements it, imported when the codec is first used."""
    compressions: tuple[Compression, ...]
    options: tuple[Option, ...] = ()
    """What a user can choose: arguments of its constructor."""
    dial: QualityDial | None = None
    """None where it has no quality, or where only its model knows."""
    rate_option: str = ""
    """The option that a setting like "12x" stands for: so many times smaller than the pixels."""
    color_shift: Callable[[Options], float] | None = None
    """Grey levels that the mean colour of a block may be off at these options; None of one without loss.

    It holds for any honest tile, at any quality; most are within half of it.
    """
    factory: str = "Codec"
    """The class in its module that follows `TileCodec`."""
    family: str = ""
    """What people call it together with others that have the same options."""
    extra: str = ""
    """The one of our extras that it needs."""
    needs_model: bool = False
    """Whether only the model that made its tiles can read them."""
    aliases: Mapping[str, Options] = field(default_factory=dict)
    """Other names for it, with the options that each stands for."""

    def option(self, name: str) -> Option | None:
        """Return the option of that name, None if it has none."""
        return next((each for each in self.options if each.name == name), None)


class TileCodec(Protocol):
    """Encodes tiles in one fixed way, chosen by the arguments of its constructor."""

    @property
    def lossless(self) -> bool:
        """Whether decoding gives back the very pixels that were encoded."""
        ...

    @property
    def encoding(self) -> TileEncoding:
        """How every tile that it makes is stored."""
        ...

    def config(self) -> Options:
        """The options with which `create_codec` makes this codec again, for provenance."""
        ...

    def encode(self, pixels: Pixels) -> bytes:
        """The bytes of one tile, which `decode_tile` turns into pixels again.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8.
        """
        ...


class Resort(enum.Enum):
    """How a guarded codec came to a tile."""

    NONE = enum.auto()
    """As its options ask."""
    REFINED = enum.auto()
    """With more quality than they ask for: else the tile would not have been true enough."""
    SPARSE = enum.auto()
    """By another codec: there is so little on the tile that it is smaller."""
    REPACKED = enum.auto()
    """By the source's own JPEG coefficients, packed: that is smaller."""
    FELL_BACK = enum.auto()
    """By another codec: at no quality was the tile true enough."""


class Encoded(NamedTuple):
    """A tile's bytes. A guarded codec, which holds each tile against its pixels, says how true it is."""

    data: bytes
    fidelity: Fidelity | None = None
    resort: Resort = Resort.NONE


@runtime_checkable
class MeasuredCodec(Protocol):
    """A guarded codec that decodes each tile as it makes it, for its library may miss what it was asked."""

    def encode_measured(self, pixels: Pixels, visible: Size | None = None) -> Encoded:
        """The tile as `TileCodec.encode` gives it, and how true it is; `visible` as for `encode_tiles`.

        Raises:
            ValueError: as `TileCodec.encode`.
        """
        ...


@runtime_checkable
class ModelCodec(Protocol):
    """A guarded codec whose tiles only its model can read; faster with many of them at once."""

    def encode_batch(
        self,
        tiles: Sequence[Pixels],
        sources: Sequence[EncodedTile | None] = (),
        visible: Sequence[Size] = (),
    ) -> list[Encoded]:
        """The tiles, each as `TileCodec.encode` would give it; `visible` as for `encode_tiles`.

        `sources` are the same tiles as their slide stores them, where they were not changed since.

        Raises:
            ValueError: as `TileCodec.encode`.
        """
        ...

    def describe(self) -> Mapping[str, object]:
        """The model by which its tiles are read, as JSON values, with its `name` and `sha256`."""
        ...

    def decoder(self) -> bytes:
        """The part of the model that reading needs, as a file."""
        ...

    def keep_model(self) -> str | None:
        """Have the model stay on this machine; the name of its file, None of one that all have.

        Raises:
            SlideWriteError: it cannot be written.
        """
        ...


class TileTranscoder(Protocol):
    """A lossless road: packs the tiles of a source anew so that nothing of their pixels is lost.

    `exact` in its constructor asks for more: that `unpack` gives back the very bytes.
    """

    def encoding(self, source: TileEncoding) -> TileEncoding | None:
        """How a level of such tiles is stored, blank ones too; None if the road takes none of them."""
        ...

    def unpacked_encoding(self, source: TileEncoding) -> TileEncoding:
        """How the tiles of such a level come back out of `unpack`."""
        ...

    def transcode(self, tile: EncodedTile) -> bytes | None:
        """The tile packed, and unpacked and compared already; None if it cannot be, or would not shrink."""
        ...

    def keep(self, tile: EncodedTile) -> bytes:
        """The bytes with which a tile that is not packed stands among those that are."""
        ...

    def is_kept(self, tile: EncodedTile, data: bytes) -> bool:
        """Whether `keep` makes these bytes of a tile, or has made them in an earlier version."""
        ...

    def unpack(self, packed: EncodedTile, encoding: TileEncoding) -> EncodedTile:
        """What was packed, stored as `visible` says.

        Raises:
            ValueError, RuntimeError: the bytes are not a packed tile.
        """
        ...


class TileFormat(Protocol):
    """Reads the tiles of one or more TIFF compressions; the modules of this package implement it."""

    def decode(self, tile: EncodedTile) -> Pixels:
        """The tile's pixels in exactly its size.

        Raises:
            ValueError: the bytes do not decode to that size.
            RuntimeError: the library refuses the bytes.
        """
        ...

    def decode_eighth(self, tile: EncodedTile) -> Pixels:
        """The tile at an eighth of its width and height, rounded up: the means of blocks of 8 x 8 pixels.

        As fast as the format allows; to see what is on a tile, and that its bytes decode.

        Raises:
            ValueError, RuntimeError: as `decode`.
        """
        ...

    def encode_uniform(self, encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
        """A tile of one RGB colour that stands beside others of this encoding in one TIFF level."""
        ...

    def without_text(self, tile: EncodedTile, tables: bytes | None) -> EncodedTile:
        """The tile without what no decoder needs, to stand beside JPEGTables of `tables`.

        Raises:
            ValueError, RuntimeError: it cannot be rebuilt, or what is left still holds more than its picture.
        """
        ...

    def encode_alike(self, tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
        """The pixels as a tile of this encoding, in the place of a tile, as near to them as the format can.

        Raises:
            ValueError, RuntimeError, OSError: its library cannot.
        """
        ...
