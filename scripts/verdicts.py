"""What every installed program makes of our files, codec by codec, beside what `wsicomp verify` says of it.

A drawn slide is converted by each codec into each container with each way of glass, and a real one where its
folder is there. Of each file every program that `scripts/readers` installed shows 40 seeded regions, held
against our reader's.
"""

import json
import os
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from usage import parser_of

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE))

import wsicomp  # noqa: E402
from tests.programs import Program, Sight, ask, installed, missing  # noqa: E402
from wsicomp import ConversionConfig  # noqa: E402
from wsicomp.errors import WsicompError  # noqa: E402
from wsicomp.formats.compatibility import ReaderVerdict, verdicts  # noqa: E402
from wsicomp.formats.opening import open_tiff  # noqa: E402
from wsicomp.geometry import Size  # noqa: E402
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide  # noqa: E402

CODECS = {
    "copy": {"codec": "copy"},
    "jpeg": {"codec": "jpeg"},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "jpegxl": {"codec": "jpegxl"},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
    "jpegxl lossless, overview": {"codec": "jpegxl", "lossless": True, "overview": "jpeg"},
    "jpeg2000": {"codec": "jpeg2000"},
    "webp": {"codec": "webp"},
    "none": {"codec": "none"},
    "neural": {"codec": "bmshj2018-factorized"},
    "regions": {"roi": "region.geojson", "tissue_codec": "jpeg:10"},
    "regions jpegxl": {
        "roi": "region.geojson",
        "roi_codec": "jpegxl-lossless",
        "tissue_codec": "jpegxl:3",
    },
}
REGION = {
    "type": "Polygon",
    "coordinates": [[[300, 300], [1200, 300], [1200, 1200], [300, 1200], [300, 300]]],
}
CONTAINERS = ("svs", "tiff")
GLASS = ("keep", "white", "empty")
REAL = "CMU-1-Small-Region.svs"


def draw(path: Path) -> None:
    """A slide of four levels with label, macro and thumbnail."""
    drawn = SyntheticSlide(Size(2560, 1920), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    write_slide(path, drawn, SyntheticFormat(tile_px=256, quality=90, downsamples=(1, 2, 4, 8)))


def convert(source: Path, folder: Path, codecs: list[str]) -> dict[str, Path]:
    """The conversions that are possible, by what was asked for."""
    made = {}
    for codec in codecs:
        for container in CONTAINERS:
            for glass in GLASS:
                name = f"{codec} {container} {glass}"
                target = folder / f"{name.replace(' ', '-').replace(',', '')}.{container}"
                options = {"format": container, "glass": glass, "segmenter": "threshold", "margin_um": 0}
                options |= CODECS[codec]
                if "roi" in options:
                    options["roi"] = folder / str(options["roi"])
                    options["roi"].write_text(json.dumps(REGION))
                try:
                    if not target.exists():
                        wsicomp.convert_slide(source, target, ConversionConfig.of(**options))
                except WsicompError:
                    continue  # a container that cannot hold the codec, or a way of glass
                made[name] = target
    return made


def said(path: Path) -> dict[str, ReaderVerdict]:
    """Our verdicts on a file, by program."""
    with closing(open_tiff(path)) as slide:
        return {verdict.reader: verdict for verdict in verdicts(slide)}


def shown(found: Sight | str) -> str:
    """A cell of the table: the word, levels, the largest difference, and what is amiss."""
    if isinstance(found, str):
        return "no"
    parts = [found.opens]
    if found.alike:
        parts.append(f"{len(found.levels)} levels" if len(found.levels) != 1 else "1 level")
        parts.append(f"max {found.most}")
    if found.more:
        parts.append("as level: " + ", ".join(f"{width} x {height}" for width, height in found.more))
    if found.empty not in ("", "white"):
        parts.append(f"empty tiles {found.empty}")
    if found.wrong and found.alike:
        parts.append(f"{found.wrong} wrong")
    if found.failed and found.alike:
        parts.append(f"{found.failed} fail")
    return ", ".join(parts)


def agrees(verdict: ReaderVerdict, found: Sight | str) -> bool:
    """Whether a program does what was said; "partly, where ..." depends on how it was built."""
    if verdict.reason.startswith("where ") and not isinstance(found, str) and found.opens == "yes":
        return True
    return verdict.opens == ("no" if isinstance(found, str) else found.opens)


def measured(programs: list[Program], made: dict[str, Path]) -> list[dict[str, object]]:
    """A row for each file and program."""
    rows: list[dict[str, object]] = []
    for program in programs:
        print(program.reader, file=sys.stderr, flush=True)
        for (name, path), found in zip(made.items(), ask(program, list(made.values())), strict=True):
            verdict = said(path)[program.reader]
            rows.append(
                {
                    "file": name,
                    "program": program.reader,
                    "said": verdict.opens,
                    "reason": verdict.reason,
                    "shown": shown(found),
                    "agrees": agrees(verdict, found),
                    "found": found if isinstance(found, str) else asdict(found),
                }
            )
    return rows


def summary(rows: list[dict[str, object]]) -> str:
    """Markdown: a line for each program, a column for all files of which every program makes the same."""
    programs = list(dict.fromkeys(str(row["program"]) for row in rows))
    words = {(row["file"], row["program"]): _word(row["found"], row) for row in rows}
    columns: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(str(row["file"]) for row in rows):
        columns.setdefault(tuple(words[name, program] for program in programs), []).append(name)
    head = ["program", *(_heading(names) for names in columns.values())]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for number, program in enumerate(programs):
        cells = [column[number] for column in columns]
        lines.append(f"| {program} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _word(found: object, row: dict[str, object]) -> str:
    word = "no" if isinstance(found, str) else str(row["shown"]).partition(",")[0]
    return "**black**" if word == "shows black" else word


def _heading(names: list[str]) -> str:
    """What the files have in common: "empty" is a glass of its own, keep and white go without saying."""
    ways: dict[str, dict[str, list[str]]] = {}
    for name in names:
        codec, container, glass = name.removeprefix(f"{REAL}: ").rsplit(" ", 2)
        ways.setdefault(codec, {}).setdefault(container, []).append(glass)
    codecs: dict[str, list[str]] = {}
    for codec, found in ways.items():
        told = [
            container if {"keep", "white"} <= set(glass) else f"{container} {', '.join(glass)}"
            for container, glass in found.items()
        ]
        codecs.setdefault(", ".join(told), []).append(codec)
    return "; ".join(f"{', '.join(each)}: {told}" for told, each in codecs.items())


def table(rows: list[dict[str, object]]) -> str:
    """Markdown: a line for each file and each thing that was seen, with the programs that saw it."""
    lines = ["| file | programs | what they show |", "|---|---|---|"]
    seen: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        mark = "" if row["agrees"] else f" **(verify says {row['said']})**"
        key = str(row["file"]), f"{row['shown']}{mark}"
        seen.setdefault(key, []).append(str(row["program"]))
    for name in dict.fromkeys(str(row["file"]) for row in rows):
        for (file, words), programs in seen.items():
            if file == name:
                lines.append(f"| {name} | {', '.join(programs)} | {words} |")
    return "\n".join(lines)


def main() -> int:
    parser = parser_of(__doc__)
    default = os.environ.get("WSICOMP_SLIDES", "../shared/data/slides")
    parser.add_argument("--slides", type=Path, default=Path(default), help=f"folder in which {REAL} may be")
    parser.add_argument("--codec", action="append", choices=CODECS, help="these alone; may be repeated")
    parser.add_argument("--program", action="append", help="these alone; may be repeated")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the files there, and take those there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all that was seen")
    options = parser.parse_args()
    programs = [each for each in installed() if not options.program or each.reader in options.program]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "source.svs").exists():
            draw(folder / "source.svs")
        codecs = options.codec or list(CODECS)
        made = convert(folder / "source.svs", folder, codecs)
        if (options.slides / REAL).exists():
            (folder / "real").mkdir(exist_ok=True)
            real = convert(
                options.slides / REAL, folder / "real", [each for each in codecs if each != "neural"]
            )
            made |= {f"{REAL}: {name}": path for name, path in real.items()}
        rows = measured(programs, made)
    drawn = [row for row in rows if not str(row["file"]).startswith(REAL)]
    real = [row for row in rows if str(row["file"]).startswith(REAL)]
    for part in filter(None, (drawn, real)):
        print(summary(part), end="\n\n")
    print(table(rows))
    if missing():
        print(f"\nNot installed: {', '.join(missing())}.")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    wrong = sum(not row["agrees"] for row in rows)
    print(f"\n{len(rows)} readings, {wrong} against the verdict.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
