"""Folders that ship beside the code: inside an installed package, or beside it in a checkout."""

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Return the folder `models` or `configs` of this installation or checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name
