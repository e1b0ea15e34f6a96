"""Outlines that a viewer is given to show: GeoJSON, as QuPath exports it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsicomp.errors import MaskError
from wsicomp.files.inputs import check_file, reading

_MOST_BYTES = 64 << 20


def read_annotations(path: Path) -> Mapping[str, Any]:
    """Return the outlines of a GeoJSON file as a FeatureCollection, in level-0 pixels.

    Numbers that JSON does not know (NaN, infinity) become null: QuPath writes them among its measurements.
    Measurements are left out, since nothing shows them.

    Raises:
        MaskError: the file is larger than 64 MB, or not GeoJSON.
        SlideReadError: it cannot be read.
    """
    check_file(path)
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
    return {"type": "FeatureCollection", "features": features}


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None
