"""What ships beside the code: models and configs, inside an installed package and beside it in a checkout."""

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Return the folder of `models` or `configs`, as this installation or checkout has it."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name
