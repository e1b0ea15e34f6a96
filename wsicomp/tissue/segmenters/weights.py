"""Trained networks: those that ship and those of a user, checked by hash.

A manifest is a JSON file beside the network's files. It says what they are, what they were trained on and how
well they did, and their SHA-256. Nothing runs whose bytes differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsicomp.errors import WeightsError
from wsicomp.files.inputs import check_file, reason
from wsicomp.files.shipped import shipped_folder

SHIPPED = shipped_folder("models") / "tissue-unet.json"
"""The manifest of the network that `segmenter = "unet"` uses by default."""

MANIFEST_FORMAT = "wsicomp tissue network 1"
_MOST_BYTES = 256 << 20
_MOST_MANIFEST = 1 << 22


@dataclass(frozen=True)
class Weights:
    """A network whose bytes have the SHA-256 of its manifest."""

    name: str
    """The network's name."""
    manifest: Path
    """The manifest's path."""
    sha256: str
    """SHA-256 of `litert`, hexadecimal."""
    patch_px: int
    """The side of a patch, 64 to 4096."""
    mask_px: int
    """The side of a patch's mask, which divides `patch_px`."""
    litert: bytes = field(repr=False)
    """A LiteRT (TensorFlow Lite) flatbuffer.

    (1, patch_px, patch_px, 3) float32 RGB in [0, 255] to (1, mask_px, mask_px, 2): softmax of glass and
    tissue.
    """
    learnt_from: tuple[Mapping[str, Any], ...] = field(repr=False)
    """The training data, as the manifest describes it."""


def load_weights(manifest: Path = SHIPPED) -> Weights:
    """Read a manifest and the LiteRT file beside it that it names.

    Raises:
        WeightsError: a file is missing, `manifest` is no manifest, or the network's SHA-256 is not the one in
            it.
    """
    advice = _advice(manifest, "give the manifest of a trained network")
    check_file(manifest, WeightsError, advice)
    try:
        with manifest.open(encoding="utf-8-sig") as text:
            facts = json.loads(text.read(_MOST_MANIFEST))
        if facts["format"] != MANIFEST_FORMAT:
            raise WeightsError(f"format {facts['format']!r}, expected {MANIFEST_FORMAT!r}", manifest)
        name, entry = str(facts["name"]), facts["files"]["litert"]
        file, sha256 = str(entry["name"]), str(entry["sha256"])
        patch_px, learnt_from = int(facts["patch_px"]), tuple(facts["learnt_from"])
        mask_px = int(facts.get("mask_px", patch_px))
    except WeightsError:
        raise
    except OSError as exc:
        raise WeightsError(f"{reason(exc)}; {advice}", manifest) from exc
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as exc:
        raise WeightsError(
            f"not a network's manifest ({type(exc).__name__}); give its .json", manifest
        ) from exc
    if Path(file).name != file or "\0" in file:
        raise WeightsError(f"names {file!r}, expected a file beside it", manifest)
    if not 64 <= patch_px <= 4096:
        raise WeightsError(f"patches of {patch_px} px, expected 64 to 4096", manifest)
    if not (1 <= mask_px <= patch_px and patch_px % mask_px == 0):
        raise WeightsError(f"masks of {mask_px} px, expected a whole part of {patch_px}", manifest)
    if not all(isinstance(source, Mapping) for source in learnt_from):
        raise WeightsError("learnt_from is not a list of sources", manifest)
    litert = _verified(manifest.parent / file, sha256, _advice(manifest, "keep a network's files together"))
    return Weights(name, manifest, sha256, patch_px, mask_px, litert, learnt_from)


def _advice(manifest: Path, to_others: str) -> str:
    return "install wsicomp anew" if manifest == SHIPPED else to_others


def _verified(path: Path, sha256: str, advice: str) -> bytes:
    check_file(path, WeightsError, advice)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise WeightsError(f"{size} bytes, expected at most {_MOST_BYTES}", path)
        data = path.read_bytes()
    except OSError as exc:
        raise WeightsError(f"{reason(exc)}; {advice}", path) from exc
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        hashes = f"SHA-256 {found[:12]}..., expected {sha256[:12]}..."
        raise WeightsError(f"{hashes}: damaged or changed; {advice}", path)
    return data
