"""What codecs promise: the protocols of tile codecs, transcoders and tile formats."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from wsicomp.geometry import Size
from wsicomp.quality import Fidelity
from wsicomp.slide import EncodedTile, Pixels, TileEncoding

Options: TypeAlias = Mapping[str, int | float | bool | str]
"""The arguments of a codec's constructor that differ from its defaults."""


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

    def encode_measured(self, pixels: Pixels, shown: Size | None = None) -> Encoded:
        """The tile as `TileCodec.encode` gives it, and how true it is; `shown` as for `encode_tiles`.

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
        shown: Sequence[Size] = (),
    ) -> list[Encoded]:
        """The tiles, each as `TileCodec.encode` would give it; `shown` as for `encode_tiles`.

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

    def shown(self, source: TileEncoding) -> TileEncoding:
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

    def unpack(self, packed: EncodedTile, shown: TileEncoding) -> EncodedTile:
        """What was packed, stored as `shown` says.

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
