"""The command line of comparisons: what it says, what it refuses, and its page."""

import base64
import hashlib
import json
import re

import pytest

from tests.comparison.drawn import draw_slide, drawn_bytes
from wsicomp.cli import main
from wsicomp.comparison.codec_specs import DEFAULT_CODECS

QUICK = ["--codecs", "copy,jpeg:80", "--sample", "tiles:40", "--segmenter", "threshold", "--workers", "2"]


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "slide.svs"
    path.write_bytes(drawn_bytes())
    return path


def test_the_recommendation_comes_first_in_lines_of_a_terminal(slide, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "slide.svs", "--out", "out", *QUICK, "--codecs", "jpeg-lossless,jpeg:60"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith("Take jpeg-lossless, glass keep: ")
    assert max(map(len, lines)) <= 80
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("  codec ")) + 1 :]
    rows = [line[2:].split()[:2] for line in table if not line.startswith("  (")]
    assert rows == [
        ["jpeg:90", "keep"],
        *[[codec, glass] for codec in ("jpeg-lossless", "jpeg:60") for glass in ("keep", "blank")],
    ]
    assert [line[2:].split()[:2] for line in table if line.startswith(">")] == [["jpeg-lossless", "keep"]]
    assert "  wsicomp convert slide.svs slide-small.svs --codec jpeg --lossless" in text
    assert "With loss: jpeg:60, glass keep makes" in text
    assert "`" not in text
    values = json.loads((tmp_path / "out/results.json").read_text())
    assert values["recommendation"]["sentence"].split(";")[0] == lines[0].split(";")[0]
    assert values["recommendation"]["outcome"]["tissue"] == "exact pixels"
    page, tables = (tmp_path / "out/index.html").read_text(), (tmp_path / "out/results.md").read_text()
    assert tables.startswith(f"**{values['recommendation']['sentence']}**")
    assert (
        page.index("<h3>Recommendation</h3>")
        < page.index("wsicomp convert slide.svs slide-small.svs --codec")
        < page.index("<svg")
    )
    assert values["sample"] == 40
    assert {row["status"] for row in values["slides"][0]["rows"]} == {"done"}


@pytest.mark.gate
def test_a_slide_that_fails_is_told_and_the_exit_code_says_so(slide, tmp_path, capsys):
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"no slide")
    assert main(["compare", str(bad), str(slide), "--out", str(tmp_path / "out"), *QUICK]) == 1
    out = capsys.readouterr().out
    assert "failed: bad.svs: not a whole-slide image" in out
    assert "jpeg:80" in out
    assert out.startswith("Leave it as it is: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "some"], "expected whole, or tiles:N"),
        (["--sample", "tiles:3"], "expected whole, or tiles:N"),
        (["--codecs", "gif"], "unknown codec 'gif'"),
        (["--codecs", "jpeg:900"], "jpeg:900: quality is 900"),
        (["--seed", "-1"], "expected 0 or more"),
        (["--target-ssim", "0"], "expected 0.5 to 0.999"),
        (["--glass", "keep,gone"], "expected some of keep, blank, white, empty"),
        (["--magnifications", "ten"], "expected numbers"),
        (["--magnifications", "0"], "expected 0.1 to 200"),
        (["--target-ssim", "1.5"], "expected 0.5 to 0.999"),
        (["--target-ssim", "nan"], "expected 0.5 to 0.999"),
        (["--draw", "5"], "draw is for a folder"),
        (["--price", "5"], "price is for a folder"),
        (["--price", "-5"], "expected 0 to"),
        (["--machines", "0"], "expected 1 to"),
        (["--keep-files"], "to be whole"),
        (["--opens-in", "qupath"], "expected one of any, openslide, wsicomp"),
        (["--min-ssim", "2"], "expected 0 to 1"),
    ],
)
def test_choices_that_cannot_be_followed_are_told_before_anything_is_read(
    options, message, slide, tmp_path, capsys
):
    assert main(["compare", str(slide), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_slide_that_is_not_there_is_told_before_others_are_compared(slide, tmp_path, capsys):
    sources = [str(slide), str(tmp_path / "nowhere.svs")]
    assert main(["compare", *sources, "--out", str(tmp_path / "out"), *QUICK]) == 1
    assert "nowhere.svs: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.gate
def test_a_folder_with_something_in_it_is_not_written_into(slide, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "files").mkdir(parents=True)
    (out / "files/mine.txt").write_text("mine")
    assert main(["compare", str(slide), "--out", str(out), *QUICK]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["compare", str(slide), "--out", str(out), *QUICK, "--overwrite"]) == 0
    assert (out / "files/mine.txt").read_text() == "mine"


@pytest.mark.gate
def test_formats_can_be_chosen(slide, tmp_path):
    out = tmp_path / "out"
    chosen = ["--json", "--markdown", "--glass", "white,keep"]
    assert main(["compare", str(slide), "--out", str(out), *QUICK, *chosen]) == 0
    rows = json.loads((out / "results.json").read_text())["slides"][0]["rows"]
    assert [row["glass"] for row in rows] == ["keep", "keep", "white", "keep", "white"]
    assert {path.name for path in out.iterdir()} == {"results.json", "results.md"}


@pytest.mark.gate
def test_the_page_stands_alone_and_escapes_names(tmp_path):
    path = draw_slide(tmp_path / "a<b>&c.svs", 1, (900, 900))
    out = tmp_path / "out"
    assert main(["compare", str(path), "--out", str(out), *QUICK, "--magnifications", "20,10"]) == 0
    page = (out / "index.html").read_text()
    assert "a<b>" not in page
    assert "a&lt;b&gt;&amp;c.svs" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert page.count("<svg") == 2
    assert (
        page.count("<figure>") == 3
    )  # an example of a loss, which is the worst tile, and the codec's own two


def test_help_names_every_default(capsys):
    assert main(["compare", "--help"]) == 0
    text = re.sub(r"\s+", "", capsys.readouterr().out)
    assert ",".join(DEFAULT_CODECS) in text
