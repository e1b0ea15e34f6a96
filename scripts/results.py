"""A Markdown table of sizes: every slide of a folder, every codec, every way with glass."""

import argparse
import os
import tempfile
from pathlib import Path

from wsicomp import ConfigError, ConversionConfig, convert_slide
from wsicomp.cli.text import as_bytes, as_percent

WAYS = [(codec, glass) for codec in ("copy", "jpeg") for glass in ("keep", "white", "empty")]
KINDS = {".svs", ".tif", ".tiff", ".dcm", ".ndpi", ".mrxs", ".scn", ".bif"}


def row(path: Path) -> str:
    cells = [path.name, as_bytes(path.stat().st_size)]
    rescued = 0
    with tempfile.TemporaryDirectory() as folder:
        for codec, glass in WAYS:
            try:
                config = ConversionConfig(codec=codec, glass=glass)
                report = convert_slide(path, Path(folder) / f"{codec}-{glass}", config)
            except ConfigError:
                cells.append("-")
                continue
            cells.append(f"{as_bytes(report.target_bytes)} ({as_percent(report.saved)})")
            rescued = max(rescued, report.rescued_tiles)
    return f"| {' | '.join([*cells, str(rescued)])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides")),
    )
    options = parser.parse_args()
    print(f"| slide | source | {' | '.join(' '.join(way) for way in WAYS)} | rescued tiles |")
    print(f"|---|---|{'---|' * len(WAYS)}---|")
    for path in sorted(options.folder.iterdir()):
        if path.suffix in KINDS:
            print(row(path), flush=True)


if __name__ == "__main__":
    main()
