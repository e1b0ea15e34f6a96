"""What commands write for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from wsicomp.outputs import completed


def write_json(values: dict[str, Any] | list[Any], path: Path | None, overwrite: bool = False) -> None:
    """JSON to a file, or to stdout for None or "-".

    Raises:
        TargetExistsError: the file is there, or came to be meanwhile, and `overwrite` is False.
        SlideWriteError: it cannot be written.
    """
    text = json.dumps(values, indent=2) + "\n"
    if path is None or str(path) == "-":
        sys.stdout.write(text)
        return
    with completed(path, overwrite) as partial:
        partial.write_text(text, "utf-8")
