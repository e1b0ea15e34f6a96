"""What `wsicomp info` prints of a packed slide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsicomp.formats.packed.container import PackedSlide
from wsicomp.text.figures import as_bytes, as_saving, counted

PACKED = "packed"
"""What stands in the place of a vendor."""
_MOST_FILES = 10


def describe_packed(file: Path) -> dict[str, Any]:
    """Return what a packed slide holds, as JSON values; no name in it could name a patient but a file's."""
    with PackedSlide(file) as slide:
        manifest = slide.manifest
        return {
            "path": str(file),
            "bytes": file.stat().st_size,
            "vendor": PACKED,
            "software": manifest.software,
            "source_bytes": manifest.total_bytes,
            "source_sha256": manifest.source.sha256,
            "opens": manifest.opens,
            "files": [
                {"name": each.name, "bytes": each.bytes, "sha256": each.sha256} for each in manifest.files
            ],
            "pieces": len(slide.index.units.offsets),
            "restorable": True,
        }


def packed_lines(file: Path, values: dict[str, Any]) -> Iterator[str]:
    """Yield lines that describe a packed slide for a person."""
    files = values["files"]
    saved = as_saving(1 - values["bytes"] / values["source_bytes"]) if values["source_bytes"] else ""
    yield f"{file}: packed slide, {as_bytes(values['bytes'])}, {saved}"
    made_of = f"{counted(len(files), 'file')}, {as_bytes(values['source_bytes'])}"
    yield f"  made by {values['software']} of {made_of}"
    yield f"  opened by {values['opens']}, SHA-256 {values['source_sha256']}"
    for each in files[:_MOST_FILES]:
        yield f"  {each['name']}: {as_bytes(each['bytes'])}"
    if len(files) > _MOST_FILES:
        yield f"  and {len(files) - _MOST_FILES} more"
    yield "  restorable: yes, by `wsicomp restore`; other programs open it through `wsicomp mount`"
