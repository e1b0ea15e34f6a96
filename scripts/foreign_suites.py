"""Other projects' own tests of OpenSlide, with our reader in its place, counted beside OpenSlide's.

Each suite runs with OpenSlide; with `wsicomp.open_slide` on the same files; and with it on conversions that
stand in the files' places. A test is told by name where it ends otherwise than with OpenSlide.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from usage import parser_of

import wsicomp
from wsicomp import ConversionConfig, WsicompError
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

HERE = Path(__file__).parent
SLIDES = Path(os.environ.get("WSICOMP_SLIDES", HERE.parent.parent / "shared/data/slides"))
SUITES = ("openslide-python", "tiffslide", "histolab")
WAYS = {
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True, "glass": "keep"},
    "copy": {"codec": "copy", "glass": "keep"},
}
NAMES = [
    "-opython_classes=Test Describe",
    "-opython_functions=test_ it_ they_ but_ and_it_ or_it",
    "-opython_files=test_*.py",
]
TIFFSLIDE_SVS = ("CMU-1-Small-Region", "CMU-1", "CMU-2", "CMU-3", "CMU-1-JP2K-33005")
"""SVS names that tiffslide's tests know and compare exactly; they are given to the slides that are here."""

Outcomes = dict[str, str]


def run(folder: Path, tests: list[str], environment: dict[str, str], *options: str) -> Outcomes:
    """The outcome of each test, by pytest in a process of its own."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "foreign_reader"]
    command += [f"--rootdir={folder}", "-c", os.devnull, f"--junitxml={report}", *options, *tests]
    paths = os.pathsep.join([str(HERE), str(HERE.parent), environment.get("PYTHONPATH", "")])
    environment = {**os.environ, **environment, "PYTHONPATH": paths}
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
    return {name.replace(f"{folder}/", ""): outcome for name, outcome in outcomes(report)}


def outcomes(report: Path) -> Iterator[tuple[str, str]]:
    for case in ET.parse(report).iter("testcase"):
        found = {child.tag for child in case} & {"failure", "error", "skipped"}
        yield f"{case.get('classname')}::{case.get('name')}", (found or {"passed"}).pop()


def convert_all(folder: Path, way: str) -> list[str]:
    """Put a conversion in the place of every slide under a folder; what is refused stays."""
    refused = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in {".svs", ".tif", ".tiff", ".dcm"}:
            continue
        target = path.with_name(f"{path.name}.converted.tiff")
        try:
            wsicomp.convert_slide(path, target, ConversionConfig.of(**WAYS[way]))
        except WsicompError as exc:
            refused.append(f"{path.name} ({exc.message})")
        else:
            target.replace(path)
    return refused


def tell(suite: str, expected: Outcomes, found: dict[str, Outcomes]) -> None:
    print(f"\n{suite}\n  {'OpenSlide':34s} {counts(expected)}")
    for setting, ours in found.items():
        print(f"  {setting:34s} {counts(ours)}")
        for name in sorted(expected.keys() | ours.keys()):
            before, after = expected.get(name, "missing"), ours.get(name, "missing")
            if before != after:
                print(f"      {name}: {after}, {before} with OpenSlide")


def counts(ended: Outcomes) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(Counter(ended.values()).items())[::-1])


def in_copies(
    suite: str, checkout: Path, tests: list[str], environment: dict[str, str], *options: str
) -> None:
    """A suite whose slides lie among its tests: in a copy of them for each setting."""
    settings = {"OpenSlide": None, "ours, same files": None} | {f"ours, {way}": way for way in WAYS}
    found = {}
    for setting, way in settings.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copytree(checkout / "tests", folder / "tests")
            refused = convert_all(folder / "tests/fixtures", way) if way else []
            if refused:
                print(f"{suite}, {way}: as they were: {'; '.join(refused)}")
            reader = {"FOREIGN_READER": "" if setting == "OpenSlide" else "wsicomp"}
            found[setting] = run(folder, tests, environment | reader, *options)
    tell(suite, found.pop("OpenSlide"), found)


def tiffslide(checkout: Path, slides: list[Path]) -> None:
    """Its tests: tiffslide reads each slide, and OpenSlide or our reader the same one or its conversion."""
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / "data"
        (data / "Aperio").mkdir(parents=True)
        (data / "Generic-TIFF").mkdir()
        drawn = folder / "drawn.svs"
        write_slide(drawn, SyntheticSlide(Size(1811, 1307), seed=8), SyntheticFormat(downsamples=(1, 4, 8)))
        files = [path for path in slides if path.suffix == ".svs"] + [drawn]
        for known, path in zip(TIFFSLIDE_SVS, files, strict=False):
            print(f"tiffslide: Aperio/{known}.svs is {path.name}")
            shutil.copy(path, data / "Aperio" / f"{known}.svs")
        for path in [path for path in slides if path.suffix == ".tif"][:1]:
            print(f"tiffslide: Generic-TIFF/CMU-1.tiff is {path.name}")
            shutil.copy(path, data / "Generic-TIFF/CMU-1.tiff")
        shutil.copy(checkout / "tiffslide/tests/test_compatibility.py", folder)
        settings = {"OpenSlide": None, "ours, same files": None} | {f"ours, {way}": way for way in WAYS}
        found = {}
        for setting, way in settings.items():
            environment = {"OPENSLIDE_TESTDATA_DIR": str(data)}
            environment["FOREIGN_READER"] = "" if setting == "OpenSlide" else "wsicomp"
            if way:
                copies = folder / way
                shutil.copytree(data, copies)
                for refused in convert_all(copies, way):
                    print(f"tiffslide, {way}: as it was: {refused}")
                environment |= {"FOREIGN_SOURCES": str(data), "FOREIGN_CONVERSIONS": str(copies)}
            found[setting] = run(folder, ["test_compatibility.py"], environment)
        tell("tiffslide, test_compatibility.py", found.pop("OpenSlide"), found)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("openslide_python", type=Path, help="its checkout, or its unpacked source package")
    parser.add_argument("tiffslide", type=Path, help="the same")
    parser.add_argument("histolab", type=Path, help="the same")
    parser.add_argument("--slides", type=Path, default=SLIDES, help="a folder of slides")
    parser.add_argument("--only", action="append", choices=SUITES, help="this suite; may be given twice")
    options = parser.parse_args()
    chosen = options.only or SUITES
    if "openslide-python" in chosen:
        in_copies("openslide-python", options.openslide_python.resolve(), ["tests"], {})
    if "tiffslide" in chosen:
        own = options.histolab / "tests/fixtures/svs-images"
        slides = sorted(own.glob("cmu-*.svs")) + sorted(options.slides.glob("*"))
        tiffslide(options.tiffslide.resolve(), slides)
    if "histolab" in chosen:
        checkout = options.histolab.resolve()
        tests = ["tests/unit", "tests/integration"]
        in_copies("histolab", checkout, tests, {"PYTHONPATH": str(checkout)}, *NAMES)


if __name__ == "__main__":
    main()
