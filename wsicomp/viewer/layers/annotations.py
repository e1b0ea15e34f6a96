"""Outlines that a viewer is given to show: GeoJSON, as QuPath exports it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from wsicomp.errors import MaskError
from wsicomp.files.inputs import check_file, reading

_MOST_BYTES = 64 << 20


class AnnotationFiles:
    """The outlines of files as a browser is sent them. Any thread may ask; one file is read at a time.

    Memory: the bytes of each file that was asked for, and some ten times as many while one is read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._lock = Lock()
        self._kept: dict[int, tuple[tuple[int, int], bytes]] = {}

    def to_json(self, number: int) -> bytes:
        """Return the outlines of a file, in level-0 pixels, as a FeatureCollection in JSON.

        A file is read again where it changed. Numbers that JSON does not know (NaN, infinity) become null:
        QuPath writes them among its measurements. Measurements are left out, since nothing shows them.

        Raises:
            IndexError: there is no such file.
            MaskError: it is larger than 64 MB, or not GeoJSON.
            SlideReadError: it cannot be read.
        """
        path = self._paths[number]
        with self._lock:
            check_file(path)
            with reading(path):
                status = path.stat()
            stamp = status.st_mtime_ns, status.st_size
            found = self._kept.get(number)
            if found is None or found[0] != stamp:
                found = self._kept[number] = stamp, _feature_collection(path)
            return found[1]


def _feature_collection(path: Path) -> bytes:
    with reading(path), path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise MaskError(f"over {_MOST_BYTES >> 20} MB; expected fewer outlines", path)
    try:
        found = json.loads(data, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise MaskError("not GeoJSON; expected outlines as QuPath exports them", path) from exc
    kind = found.get("type") if isinstance(found, dict) else None
    features = found.get("features") if kind == "FeatureCollection" else [found] if kind else found
    if not isinstance(features, list) or not all(isinstance(each, dict) for each in features):
        raise MaskError("no GeoJSON features; expected outlines as QuPath exports them", path)
    for feature in features:
        if isinstance(feature.get("properties"), dict):
            feature["properties"].pop("measurements", None)
    collection = {"type": "FeatureCollection", "features": features}
    return json.dumps(collection, separators=(",", ":"), allow_nan=False).encode()


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None
