"""Folders that ship beside the code: inside an installed package, or beside it in a checkout."""

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Return the folder `models` or `configs` of this installation or checkout."""
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
