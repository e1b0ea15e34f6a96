"""Digests of a written file's tiles and images, by which a reader finds damage."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan
from wsicomp.plan.provenance import DIGEST_BYTES, WITHOUT_BYTES, LevelRecord
from wsicomp.slide import AssociatedImage

_AT_ONCE_BYTES = 1 << 18


class TileLedger:
    """Tells how one tile of a written level was made, and whether its bytes have their digest."""

    def __init__(self, plan: LevelPlan, record: LevelRecord) -> None:
        self._plan = plan
        self._record = record
        self._kept = frozenset(record.kept)
        self._lost = frozenset(record.lost)

    def is_kept(self, index: TileIndex) -> bool:
        """Return whether a tile is not repacked although its action is TRANSCODE.

        It is stored as `TileTranscoder.keep` makes it.
        """
        return self._number(index) in self._kept

    def is_lost(self, index: TileIndex) -> bool:
        """Return whether the source's tile could not be decoded; this tile is background then."""
        return self._number(index) in self._lost

    def is_sound(self, index: TileIndex, data: bytes) -> bool:
        """Return whether these bytes have the digest of a tile.

        The tile is not blank, empty or lost.
        """
        at = int(self._positions[self._number(index)]) * DIGEST_BYTES
        return tile_digest(data) == self._record.digests[at : at + DIGEST_BYTES]

    def _number(self, index: TileIndex) -> int:
        return index.row * self._plan.grid.columns + index.column

    @fork_safe_property
    def _positions(self) -> NDArray[np.int32]:
        own = ~np.isin(self._plan.actions.reshape(-1), WITHOUT_BYTES)
        own[list(self._lost)] = False
        return np.cumsum(own, dtype=np.int32) - 1


def tile_digest(data: bytes) -> bytes:
    """Return 8 bytes of BLAKE2b over a tile's bytes."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


class LevelDigest:
    """SHA-256 over the byte count (8 bytes, little endian) and the bytes of each tile, in raster order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def update(self, tile: bytes) -> None:
        """Add the next tile. Many are hashed in one call, after which other threads wait less often."""
        self._waiting += (len(tile).to_bytes(8, "little"), tile)
        self._waiting_bytes += 8 + len(tile)
        if self._waiting_bytes > _AT_ONCE_BYTES:
            self._hash_waiting()

    def hexdigest(self) -> str:
        """Return the digest of all tiles so far."""
        self._hash_waiting()
        return self._hash.hexdigest()

    def _hash_waiting(self) -> None:
        self._hash.update(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0


def image_digest(image: AssociatedImage) -> str:
    """Return the SHA-256 over an associated image as the file stores it: its strips and their encoding."""
    digest = LevelDigest()
    facts = (image.size.width, image.size.height, image.rows_per_strip, asdict(image.encoding))
    for part in (repr(facts).encode(), image.icc_profile or b"", image.description.encode("latin-1")):
        digest.update(part)
    for strip in image.strips:
        digest.update(strip)
    return digest.hexdigest()
