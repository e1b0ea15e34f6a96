"""The front door: pages that say what the code says, and commands that do what the pages say."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from typing import get_args, get_type_hints

import pytest

import wsicomp
from tests import tiffs
from tests.conftest import trial_size
from tests.drawn import forged, glass
from tests.end_to_end import test_recipes
from tests.paths import ROOT
from tests.volumes.nifti_files import nifti_file
from wsicomp import ConversionConfig
from wsicomp.cli.commands import all_commands
from wsicomp.config import about_preset, preset_names
from wsicomp.formats.opening import open_tiff
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.volumes.phantom import drawn_volume

sys.path.insert(0, str(ROOT / "scripts"))

import docs_check
import docs_tables

PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
)
REFERENCE = ROOT / "docs/reference"
_BLOCK = re.compile(r"^(<!-- exit code 1 -->\n)?```(sh|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
_NUMBER = re.compile(r"\b[0-9a-f]{64}\b|\d+(?:\.\d+)?")


def named(pages):
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


def test_the_tables_are_those_of_the_code():
    assert [str(path) for path in docs_tables.stale_pages()] == []


def test_a_stale_table_is_found():
    page = "before\n<!-- table: problems -->\nwhat was so once\n<!-- end -->\nafter\n"
    assert "what was so once" not in docs_tables.filled(page)
    assert "`tile-damaged`" in docs_tables.filled(page)
    assert docs_tables.filled(page).endswith("<!-- end -->\nafter\n")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < 10_000
    assert (ROOT / "docs/images/glass-out.jpg").stat().st_size < 300_000


@pytest.mark.parametrize("page", named(PAGES))
def test_what_a_page_links_to_is_there(page):
    targets = [link.partition("#")[0] for link in _LINK.findall(page.read_text())]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []
    assert [flaw for link in _LINK.findall(page.read_text()) if (flaw := docs_check.link_flaw(link))] == []


@pytest.mark.parametrize("page", named(page for page in PAGES if page.name != "CHANGELOG.md"))
def test_the_scripts_that_a_page_names_are_there(page):
    names = set(re.findall(r"(?<![\w/.])scripts/([a-z-]+)", page.read_text()))
    assert [name for name in names if not (ROOT / "scripts" / name).exists()] == []


def lines_of_commands(page):
    """The command lines in a page's blocks of code that begin with wsicomp, without their comments."""
    text = page.read_text().replace("\\\n", " ")
    blocks = "\n".join(code for _, kind, code in _BLOCK.findall(text) if kind == "sh")
    found = re.findall(r"^(wsicomp [^|>&\n]+)", blocks, re.MULTILINE)
    found += re.findall(r"^ {4}(wsicomp [^|>&\n]+)", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in found]


def known_options():
    """The options of each command, by its name."""
    return {
        command.name: {flag for option in command.options for flag in command.spellings(option)}
        for command in all_commands()
    }


@pytest.mark.parametrize("page", named(PAGES))
def test_the_commands_of_a_page_have_the_options_that_it_gives(page):
    known = known_options()
    for words in lines_of_commands(page):
        command = next((name for name in (" ".join(words[1:3]), words[1]) if name in known), None)
        assert command is not None, words
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known[command] | {"--help"}, words


def test_commands_are_found_on_pages():
    assert sum(len(lines_of_commands(page)) for page in PAGES) > 60


def keys_of(report):
    """The keys of a report's JSON, and of the parts in it."""
    for name, kind in get_type_hints(report).items():
        yield name
        for part in (kind, *get_args(kind)):
            if dataclasses.is_dataclass(part):
                yield from keys_of(part)


def test_the_page_of_the_report_has_the_keys_of_a_report_and_no_others():
    text = (REFERENCE / "report.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    documented = {key for row in rows for key in re.findall("`([a-z0-9_]+)`", row)}
    assert documented == set(keys_of(wsicomp.ConversionReport))


def tables_of_keys(page):
    """The keys that each part of a page lists, by the part's heading."""
    parts = re.findall(r"^### (.+?)$(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    return {
        heading.replace("`", ""): {
            key
            for row in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
            for key in re.findall("`([a-z0-9_]+)`", row)
        }
        for heading, text in parts
    }


def parts_of(carried):
    """Each part of a file's provenance that is there, by the heading of its table."""
    plan, levels = carried["plan"], carried["plan"]["levels"]
    further = [recipe for level in levels for recipe in level.get("further_recipes", [])]
    guarded = [each["guarded"] for each in carried["levels"]]
    guarded += [each for level in carried["levels"] for each in level.get("guarded_by_recipe", [])]
    parts = {
        "Top level": [carried],
        "plan": [plan],
        "plan.source": [plan["source"]],
        "One entry of plan.levels": [*levels, *further],
        "encoding and shown": [each[name] for each in [*levels, *further] for name in ("encoding", "shown")],
        "plan.model": [plan["model"]],
        "mask": [carried["mask"]],
        "One entry of levels": carried["levels"],
        "guarded": guarded,
        "restoration": [carried["restoration"]],
    }
    return {heading: [part for part in some if part is not None] for heading, some in parts.items()}


def carried_by(path):
    return json.loads(open_tiff(path).provenance.to_text())


@pytest.fixture
def provenances(tmp_path):
    """What files of every kind carry: plain, restorable, with long texts, of several recipes, neural."""
    source = tiffs.write_tiff(tmp_path / "slide.svs", 400, 300)
    long = tiffs.write_tiff(
        tmp_path / "long.svs", 300, 200, description="Aperio|Words = " + "word " * 250_000
    )
    sections = tmp_path / "tissue.svs"
    forged.draw_tissue(sections)
    uneven = tmp_path / "uneven.svs"
    glass.draw_uneven(uneven)
    configs = {
        "plain.svs": (source, ConversionConfig.of(segmenter="threshold")),
        "uneven.svs": (uneven, ConversionConfig.of(segmenter="threshold")),
        "restorable.tiff": (source, ConversionConfig.preset("archive-lossless")),
        "long.svs": (long, ConversionConfig.of(glass="keep")),
        "neural.tiff": (source, ConversionConfig.of(codec="he-compact", glass="keep")),
    }
    folder = tmp_path / "made"
    folder.mkdir()
    for name, (slide, config) in configs.items():
        wsicomp.convert_slide(slide, folder / name, config)
    two = [test_recipes.encoded_by("jpegxl", each) for each in (test_recipes.FINE, test_recipes.COARSE)]
    test_recipes.write(sections, folder / "recipes.tiff", test_recipes.CONFIG, two)
    return [carried_by(path) for path in sorted(folder.iterdir())]


def test_the_page_of_the_file_has_the_keys_that_files_carry_and_no_others(provenances):
    found = {}
    for carried in provenances:
        for heading, parts in parts_of(carried).items():
            found.setdefault(heading, set()).update(*parts)
    assert tables_of_keys((REFERENCE / "file.md").read_text()) == found


def test_the_options_in_a_file_are_on_the_page_of_options(provenances):
    text = (REFERENCE / "options.md").read_text()
    assert [
        key for carried in provenances for key in carried["plan"]["config"] if f"`{key}`" not in text
    ] == []


def test_every_state_of_a_slide_is_documented():
    from wsicomp.batch.entry import State

    text = (REFERENCE / "ledger.md").read_text()
    assert re.findall(
        r"^\| `([a-z]+)` \|", text.partition("## States")[2].partition("## A ledger")[0], re.MULTILINE
    ) == [state.value for state in State]


def test_the_glossary_explains_each_word_once():
    words = re.findall(r"^### (.+)$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) == len({word.lower() for word in words}) > 60


def floors():
    """The floor of each room and module that CONTRIBUTING draws."""
    house = (ROOT / "CONTRIBUTING.md").read_text().partition("## The house")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| +(\d+) \|([^|]+)\|", house, re.MULTILINE)
    return {name: int(floor) for floor, rooms in rows for name in re.findall("`([a-z_0-9]+)/?`", rooms)}


def test_the_house_is_as_it_is_drawn():
    there = {path.stem for path in (ROOT / "wsicomp").iterdir() if (path / "__init__.py").exists()}
    assert set(floors()) >= there
    assert [each for each in set(floors()) - there if not (ROOT / f"wsicomp/{each}.py").exists()] == []


def test_the_floors_of_the_house_are_the_layers_of_the_imports():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name.strip().removeprefix("wsicomp.") for layer in layers for name in layer.split("|")]
    drawn = [floors()[name] for name in names if name in floors()]
    assert drawn == sorted(drawn, reverse=True)


def test_nothing_may_be_loaded_from_elsewhere(tmp_path):
    (tmp_path / "a.html").write_text('<script src="https://elsewhere.example/x.js"></script>')
    (tmp_path / "b.html").write_text('<a href="https://fine.example/">x</a><img src="x.png">')
    (tmp_path / "c.html").write_text('<a href="http://plain.example/">x</a>')
    assert list(docs_check.flaws(tmp_path)) == [
        "a.html: loads https://elsewhere.example/x.js",
        "c.html: link http://plain.example/: expected https",
    ]


def test_an_example_of_a_docstring_that_is_shown_as_quotations_is_found(tmp_path):
    quoted = "<blockquote><blockquote><blockquote>report</blockquote></blockquote></blockquote>"
    (tmp_path / "a.html").write_text(f"{quoted}<blockquote>fine</blockquote>{quoted}")
    assert [flaw.partition(":")[0] for flaw in docs_check.flaws(tmp_path)] == ["a.html"] * 2


def without_numbers(text):
    return [_NUMBER.sub("#", " ".join(line.split())) for line in text.splitlines()]


def executed(kind, code, folder, path, exit_code):
    """What a block of a page says when it is run."""
    command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-euc", code]
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder), "COLUMNS": "200"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, timeout=300, check=False, **streams
    )
    assert done.returncode == exit_code, (code, done.stdout)
    return done.stdout


@pytest.fixture
def path_of_programs(tmp_path):
    """A PATH whose `wsicomp` is this checkout's."""
    program = tmp_path / "bin/wsicomp"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m wsicomp "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin"


@pytest.mark.gate
def test_the_tutorial_does_what_it_says(tmp_path, path_of_programs):
    folder = tmp_path / "work"
    folder.mkdir()
    said = []
    page = (ROOT / "docs/tutorial.md").read_text()
    drawing = "wsicomp dataset draw drawn --count 1\n"
    assert drawing in page
    page = page.replace(drawing, trial_size(drawing.replace("\n", " --size 2560\n"), drawing))
    for fails, kind, code in _BLOCK.findall(page):
        if kind != "text":
            said = without_numbers(executed(kind, code, folder, path_of_programs, int(bool(fails))))
            continue
        for line in without_numbers(code):
            assert line in said, (line, said)
            del said[: said.index(line) + 1]


@pytest.mark.gate
def test_the_python_code_of_the_pages_runs(tmp_path, path_of_programs):
    """The tutorial is run as a whole elsewhere; CONTRIBUTING declares an option that is there already."""
    made = tmp_path / "made"
    made.mkdir()
    source = tiffs.write_tiff(made / "slide.svs", 400, 300)
    report = wsicomp.convert_slide(source, made / "archive.tiff", ConversionConfig.preset("archive-lossless"))
    (made / "report.json").write_text(json.dumps(report.to_json()))
    (made / "slides").mkdir()
    shutil.copy(source, made / "slides/one.svs")
    brain = nifti_file(made / "brain.nii.gz", drawn_volume(1, (14, 40, 48), "MR").voxels)
    wsicomp.compress_volume(brain, made / "brain.wsiv")
    pages = [page for page in ROOT.glob("docs/*/*.md") if _PYTHON.search(page.read_text())]
    assert len(pages) >= 4
    for page in pages:
        folder = shutil.copytree(made, tmp_path / page.stem)
        for code in _PYTHON.findall(page.read_text()):
            (folder / "code.py").write_text(code)
            executed("sh", f"{shlex.quote(sys.executable)} code.py", folder, path_of_programs, 0)


@pytest.mark.slow
def test_the_sizes_of_the_readme_are_those_of_today(tmp_path, path_of_programs):
    folder = tmp_path / "look"
    folder.mkdir()
    write_slide(folder / "slide.svs", SyntheticSlide(Size(8192, 8192), seed=1, tissue_fraction=0.2))
    text = (ROOT / "README.md").read_text()
    savings = re.findall(r"Saved:\*\* (\d+) % of (\S+) MB", text)
    lines = re.findall(r"^ {4}(wsicomp convert look.+)", text, re.MULTILINE)
    for line, stated in zip(lines, savings, strict=True):
        said = executed("sh", line, tmp_path, path_of_programs, 0)
        before, saved = re.search(r": (\S+) MB -> \S+ MB, (\S+) % saved", said).groups()
        assert (f"{float(saved):.0f}", f"{float(before):.1f}") == stated, said


@pytest.mark.slow
def test_what_presets_save_of_the_demo_s_slide_is_what_they_say(tmp_path):
    source = tmp_path / "slide.svs"
    write_slide(source, SyntheticSlide(Size(8192, 8192), seed=1, tissue_fraction=0.2))
    for name in preset_names():
        config = ConversionConfig.preset(name, overwrite=True)
        report = wsicomp.convert_slide(source, tmp_path / "target.tiff", config)
        assert report.saved * 100 == pytest.approx(about_preset(name).saved_percent, abs=0.3), name
