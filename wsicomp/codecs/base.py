"""The protocols of codecs: tile codecs, transcoders, and the formats of their tiles."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from wsicomp.codecs.quality import Fidelity
from wsicomp.files.limits import BYTES_A_PIXEL
from wsicomp.geometry import Size
from wsicomp.options import Option
from wsicomp.slide import EncodedTile, Pixels, TileEncoding

Options: TypeAlias = Mapping[str, int | float | bool | str]
"""The arguments of a codec's constructor that differ from its defaults, by name."""


class Program(enum.Enum):
    """A program that people open slides with. A codec declares which programs read its compressions."""

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
"""All programs that were tried."""


@dataclass(frozen=True)
class Compression:
    """A TIFF Compression whose tiles a codec reads."""

    number: int
    """The value of TIFF's Compression tag."""
    label: str
    """What people call it: "JPEG 2000"."""
    detail: str = ""
    """What distinguishes it from another compression with the same label: "YCbCr"."""
    readers: frozenset[Program] = frozenset()
    """Other programs that read it. `wsicomp.formats.compatibility` says what the rest display instead."""
    only_in_svs: bool = False
    """Whether OpenSlide reads it in an SVS file only."""
    in_svs: bool = False
    """Whether Aperio writes it, so that OpenSlide's aperio driver reads it."""
    bytes_a_pixel: int = BYTES_A_PIXEL
    """Memory for one pixel of a tile while a thread decodes, encodes and compares it."""


@dataclass(frozen=True)
class QualityDial:
    """The option of a codec that sets its quality, and its useful values."""

    option: str
    """The option's name."""
    coarse: float
    """The value at which a search for a quality begins."""
    fine: float
    """The value at which a search for a quality ends."""
    ladder: tuple[float, ...]
    """The values of a rate-distortion curve."""
    is_whole: bool = False
    """Whether only whole numbers are allowed."""
    unit: str = ""
    """The unit behind the value in a codec's short name, as in "jpeg2000:37dB"."""
    fixed: Options = field(default_factory=dict)
    """Other options that are set together with it."""


@dataclass(frozen=True)
class CodecInfo:
    """The declaration of a codec by its module. Other modules know nothing else of it."""

    name: str
    """The name on the command line and in presets."""
    module: str
    """The module that implements the codec. It is imported when the codec is first used."""
    compressions: tuple[Compression, ...]
    """The TIFF compressions that the module reads."""
    options: tuple[Option, ...] = ()
    """The options that a user can set: arguments of the constructor."""
    dial: QualityDial | None = None
    """How its quality is set; None if it has no quality, or if that depends on the model."""
    rate_option: str = ""
    """The option that a setting like "12x" stands for: how many times smaller than the pixels."""
    color_shift: Callable[[Options], float] | None = None
    """Returns, for these options, how many grey levels the mean colour of a block may be off.

    It holds for every honest tile at any quality; most tiles are within half of it. None for a lossless
    codec.
    """
    factory: str = "Codec"
    """The name of the class in its module that implements `TileCodec`."""
    family: str = ""
    """The common name of codecs with the same options."""
    extra: str = ""
    """The extra that must be installed, empty for none."""
    libraries: tuple[str, ...] = ()
    """The modules of the extra that the codec needs."""
    needs_model: bool = False
    """Whether tiles can be read only with the model that made them."""
    aliases: Mapping[str, Options] = field(default_factory=dict)
    """Other names of the codec, each with the options that it implies."""

    def option(self, name: str) -> Option | None:
        """Return the option of this name, None if there is none."""
        return next((each for each in self.options if each.name == name), None)


class TileCodec(Protocol):
    """Encodes all tiles with the same options, the arguments of its constructor.

    A codec may have a method `among(encoding)`: it returns the codec of tiles that stand among a source's
    own tiles of that encoding.
    """

    @property
    def lossless(self) -> bool:
        """Whether decoding returns exactly the encoded pixels."""

    @property
    def encoding(self) -> TileEncoding:
        """The encoding of every tile that the codec makes."""

    def config(self) -> Options:
        """Return the options with which `create_codec` makes this codec again, for provenance."""

    def encode(self, pixels: Pixels) -> bytes:
        """Return the bytes of one tile, (rows, columns, 3) uint8 RGB, for `decode_tile` to decode.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8.
        """


class Fallback(enum.Enum):
    """The way by which a guarded codec came to a tile."""

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
    """A tile's bytes, and how they came about."""

    data: bytes
    """The bytes."""
    fidelity: Fidelity | None = None
    """The fidelity of the decoded tile; None for a codec that does not decode what it encodes."""
    fallback: Fallback = Fallback.NONE


class MeasuredCodec(Protocol):
    """A guarded codec that decodes each tile it encodes, since its library may miss the quality asked for."""

    def encode_measured(self, pixels: Pixels, visible: Size | None = None) -> Encoded:
        """Return the tile as `TileCodec.encode` makes it, with its fidelity.

        `visible` is the part from the upper left corner that lies inside the level; by default all of it.
        Only that part is compared.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8.
        """


class ModelCodec(Protocol):
    """A guarded codec whose tiles only its model can decode. It is faster with many tiles at once."""

    def encode_batch(
        self,
        tiles: Sequence[Pixels],
        sources: Sequence[EncodedTile | None] = (),
        visible: Sequence[Size] = (),
    ) -> list[Encoded]:
        """Return each tile as `TileCodec.encode` makes it, with its fidelity.

        `sources` are the same tiles as the slide stores them, None for tiles whose pixels were changed.
        `visible` are the parts that lie inside the level; by default all of each tile.

        Raises:
            ValueError: an array is not (rows, columns, 3) uint8.
        """

    def describe(self) -> Mapping[str, object]:
        """Return the model that decodes the tiles as JSON values, with its `name` and `sha256`."""

    def decoder(self) -> bytes:
        """Return a model file with only the part that decoding needs."""

    def keep_model(self) -> str | None:
        """Make sure that the model stays on this machine.

        Return the name of its file; None for a model that ships with wsicomp.

        Raises:
            SlideWriteError: the file cannot be written.
        """


MOST_SHARED_BYTES = 1 << 16
"""The most bytes that repacked tiles have in common and do without."""


class TileTranscoder(Protocol):
    """Repacks a source's tiles without loss of any pixel.

    Its constructor takes `exact`, with which `unpack` returns the very bytes of the source, and `shared`, as
    `common` has found: repacked tiles that have it do without.
    """

    def encoding(self, source: TileEncoding) -> TileEncoding | None:
        """Return the encoding of a level with tiles of the encoding `source` after they are repacked.

        Blank tiles of the level are stored in it, too. Return None if such tiles cannot be repacked.
        """

    def unpacked_encoding(self, source: TileEncoding) -> TileEncoding:
        """Return the encoding of tiles of the encoding `source` after `transcode` and `unpack`."""

    def transcode(self, tile: EncodedTile) -> bytes | None:
        """Return the tile repacked, or None if it cannot be repacked or would not become smaller.

        The repacked tile is unpacked again and compared with `tile`: by its pixels, with `exact` by its
        bytes.
        """

    def transcode_all(self, tiles: Sequence[EncodedTile]) -> list[bytes | None]:
        """Return what `transcode` returns of each tile."""

    def common(self, packed: Sequence[bytes]) -> bytes | None:
        """Return what most of these repacked tiles have in common and could do without; None for nothing."""

    def keep(self, tile: EncodedTile) -> bytes:
        """Return the bytes to store, among repacked tiles, for a tile that is not repacked."""

    def is_kept(self, tile: EncodedTile, data: bytes) -> bool:
        """Return whether `data` is what `keep` makes of a tile, in this version or an earlier one."""

    def unpack(self, packed: EncodedTile, encoding: TileEncoding) -> EncodedTile:
        """Return the tile from which `transcode` made `packed`, in the encoding `encoding`.

        Raises:
            ValueError: the bytes are no repacked tile.
            RuntimeError: the library refuses the bytes.
        """


class TileFormat(Protocol):
    """Reads tiles of one or more TIFF compressions. The modules of this package implement it as functions.

    A module may have more functions where its format allows it: `decode_eighth` and `decode_opaque`, faster
    than the means of the decoded pixels and than the pixels with alpha added, `decode_batch` for many tiles,
    and `copy_obstacle`.
    """

    def decode(self, tile: EncodedTile) -> Pixels:
        """Return the tile's pixels in exactly its size, (rows, columns, 3) uint8 RGB.

        Raises:
            ValueError: the bytes do not decode to that size.
            RuntimeError: the library refuses the bytes.
        """

    def encode_uniform(self, encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
        """Return a tile of one RGB colour that can stand beside others of this encoding in one TIFF level.

        Raises:
            ValueError: the encoding cannot hold the colour.
        """

    def without_text(self, tile: EncodedTile, tables: bytes | None) -> EncodedTile:
        """Return the tile with nothing but what a decoder needs.

        `tables` are the JPEGTables of the level in which a JPEG tile will stand, None for none; other formats
        ignore them.

        Raises:
            ValueError: the tile cannot be rebuilt, or what is left still holds more than its picture.
            RuntimeError: the library refuses the bytes.
        """

    def encode_alike(self, tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
        """Return pixels, (rows, columns, 3) uint8 RGB, as a tile of this encoding that replaces `tile`.

        It is as close to the pixels as the format allows.

        Raises:
            ValueError: the pixels cannot be stored in this encoding.
            RuntimeError, OSError: the library refuses the pixels.
        """
