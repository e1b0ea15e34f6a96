"""A benchmark's tables: printed, and put into the page of results where `--page` asks for it."""

import os
import platform
import re
from argparse import ArgumentParser, Namespace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wsicomp.version import SOFTWARE

PAGE = Path(__file__).parent.parent / "docs/results/speed.md"
_LIBRARIES = ("numpy", "tifffile", "imagecodecs", "simplejpeg", "ai-edge-litert", "openslide-bin")


def add_options(parser: ArgumentParser, page: Path = PAGE) -> None:
    """Add `--page`."""
    parser.add_argument("--page", action="store_true", help=f"put the tables into docs/results/{page.name}")


def publish(options: Namespace, benchmark: str, text: str, page: Path = PAGE) -> None:
    """Print what a benchmark found; with `--page` it also replaces what the page says of it."""
    print(text, flush=True)
    if options.page:
        page.write_text(replaced(page.read_text(), benchmark, text))


def replaced(page: str, benchmark: str, text: str) -> str:
    """Return a page with this text between the two marks of a benchmark.

    Raises:
        ValueError: the page has no such marks.
    """
    start, end = f"<!-- measured: {benchmark} -->\n", "<!-- end measured -->"
    found = re.sub(
        f"(?s)(?<={re.escape(start)}).*?(?={end})", lambda _: f"\n{text.strip()}\n\n", page, count=1
    )
    if start not in page or end not in page.partition(start)[2]:
        raise ValueError(f"the page has no marks `{start.strip()}` and `{end}`")
    return found


def machine(*others: str) -> str:
    """Return what was measured on: the processor, the cores, the versions of libraries and of `others`."""
    versions = [f"{name} {found}" for name in (*_LIBRARIES, *others) if (found := _version(name))]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()}"
    return f"{processor()}, {cores} cores; {SOFTWARE}, {python}, {', '.join(versions)}."


def processor() -> str:
    """Return the processor's name as its system gives it, with family, model and stepping."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(re.findall(r"^([a-z ]+?)\s*: (.+)$", text.split("\n\n", maxsplit=1)[0], re.MULTILINE))
    numbers = ", ".join(f"{key} {facts[key]}" for key in ("cpu family", "model", "stepping") if key in facts)
    return f"{facts.get('model name', platform.machine())} ({numbers})"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
