"""What commands write for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from wsicomp.errors import SlideWriteError


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
