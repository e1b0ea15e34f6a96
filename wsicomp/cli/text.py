"""Figures as people read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from wsicomp.errors import SlideWriteError


def as_bytes(count: float) -> str:
    """A byte count with three figures and a decimal unit: `"1.94 MB"`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def as_percent(fraction: float) -> str:
    """A fraction as per cent with one decimal."""
    return f"{round(fraction * 100, 1) + 0.0:.1f} %"


def as_saving(fraction: float) -> str:
    """What was saved of a size, as "12.3 % saved", or "12.3 % larger" where it is negative."""
    text = as_percent(fraction)
    return f"{text[1:]} larger" if text.startswith("-") else f"{text} saved"


def write_json(values: dict[str, Any] | list[Any], path: Path | None) -> None:
    """JSON to a file, or to stdout for None or "-".

    Raises:
        SlideWriteError: the file cannot be written.
    """
    text = json.dumps(values, indent=2) + "\n"
    if path is None or str(path) == "-":
        sys.stdout.write(text)
        return
    try:
        path.write_text(text)
    except OSError as exc:
        raise SlideWriteError(f"cannot write the report ({exc.strerror})", path) from exc
