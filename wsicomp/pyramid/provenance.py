"""What a written file says of its own making: the plan, the mask's figures and a digest of every level.

It stands as JSON in the XMP packet of the first image, in both containers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsicomp.errors import SlideReadError
from wsicomp.pyramid.plan import ConversionPlan


@dataclass(frozen=True)
class Provenance:
    """`level_sha256` has one digest for each level of the plan; `mask` is None where glass was kept.

    `properties` are the source's own, as text, for a container that has no place for them.
    """

    plan: ConversionPlan
    mask: Mapping[str, Any] | None
    properties: Mapping[str, str]
    level_sha256: tuple[str, ...]

    def to_text(self) -> str:
        """As ASCII JSON."""
        values = {
            "plan": self.plan.to_json(),
            "mask": self.mask,
            "properties": dict(self.properties),
            "level_sha256": list(self.level_sha256),
        }
        return json.dumps(values, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Provenance:
        """The provenance that `to_text` wrote.

        Raises:
            SlideReadError: the text is not such a block.
        """
        try:
            values = json.loads(text)
            plan = ConversionPlan.from_json(values["plan"])
            digests = tuple(str(digest) for digest in values["level_sha256"])
            if len(digests) != len(plan.levels):
                raise ValueError(f"{len(digests)} digests for {len(plan.levels)} levels")
            return cls(plan, values["mask"], values["properties"], digests)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as exc:
            raise SlideReadError(f"damaged provenance ({exc})", place="XMP packet") from exc


class LevelDigest:
    """SHA-256 over the byte count (8 bytes, little endian) and the bytes of each tile, in raster order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, tile: bytes) -> None:
        """Add the next tile."""
        self._hash.update(len(tile).to_bytes(8, "little"))
        self._hash.update(tile)

    def hexdigest(self) -> str:
        """The digest of all tiles so far."""
        return self._hash.hexdigest()
