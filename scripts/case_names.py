"""Where a word hides, by formats and roads: whether it is in a target that is to name nobody.

`python scripts/case_names.py [--before CHECKOUT]` prints a table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE))

from tests.drawn import names  # noqa: E402
from tests.test_names import streams  # noqa: E402

ROADS = {
    "copy": ["--codec", "copy"],
    "jpeg": ["--codec", "jpeg"],
    "jpeg lossless": ["--codec", "jpeg", "--lossless"],
    "jpegxl": ["--codec", "jpegxl"],
    "jpegxl lossless": ["--codec", "jpegxl", "--lossless"],
    "jpeg2000": ["--codec", "jpeg2000"],
    "webp": ["--codec", "webp"],
    "none": ["--codec", "none"],
}
OTHERS = {
    "jbrd comment": names.jpeg_xl_of_jpeg,
    "unused shared table": names.shared_table,
    "icc profile": names.icc_profile,
    "label as thumbnail": names.label_as_thumbnail,
    "history and numbers": names.dates_in_numbers,
}


def verdict(checkout: Path, source: Path, target: Path, options: list[str]) -> str:
    """What became of the word: gone, there, or refused."""
    command = [sys.executable, "-m", "wsicomp", "convert", source, target, "--deidentify", "--glass", "keep"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [*command, *options], env=environment, cwd=checkout, check=False, capture_output=True
    )
    if done.returncode:
        return "refused"
    return "THERE" if any(names.WORD in stream for stream in streams(target)) else "gone"


def main() -> None:
    """Print a row for each place, a column for each road."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout")
    before = parser.parse_args().before
    print("| place |", " | ".join(ROADS), "|")
    print("|---" * (1 + len(ROADS)) + "|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place in (*names.IN_TILES, *OTHERS):
            source = folder / f"{place}.tif"
            if place in OTHERS:
                OTHERS[place](source)
            else:
                names.in_tiles(source, place)
            cells = []
            for number, options in enumerate(ROADS.values()):
                checkouts = [HERE] if before is None else [before, HERE]
                target = folder / f"{place} {number}"
                found = [
                    verdict(checkout, source, target.with_name(f"{target.name} {after}.tiff"), options)
                    for after, checkout in enumerate(checkouts)
                ]
                cells.append(" -> ".join(found))
            print("|", place, "|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
