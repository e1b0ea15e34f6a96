"""A batch with regions: those that are found as tissue, or a file for each slide by its name."""

import csv
import json
import os
import tomllib

import numpy as np
import pytest
from PIL import Image

import wsicomp
from tests.batch.trees import CONFIG, assert_agrees, entries, files, run, write_tree
from wsicomp.batch import plan_batch, run_batch, write_csv
from wsicomp.cli import main
from wsicomp.errors import ConfigError

ROI = {"tissue_codec": "jpeg:10", "glass": "keep", "keep_if_larger": "keep"}
"""Options with which something is lost outside of regions."""


def draw(path, x, y, side=200):
    """A file of regions with a square of 40 px at a place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((side, side), np.uint8)
    mask[y : y + 40, x : x + 40] = 1
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def trees(tmp_path):
    for number, path in enumerate(write_tree(tmp_path / "source", 3)):
        name = path.relative_to(tmp_path / "source").with_suffix(".png")
        draw(tmp_path / "regions" / name, 20 * number, 20 * number)
    return tmp_path / "source", tmp_path / "target", tmp_path / "regions"


def changed_pixels(source, target):
    """Where a conversion differs from its slide."""
    shown = []
    for path in (source, target):
        with wsicomp.open_slide(path) as slide:
            shown.append(np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")))
    return (shown[0] != shown[1]).any(axis=2)


def test_each_slide_keeps_the_regions_of_its_own_file(trees):
    source, target, regions = trees
    result = run(source, target, CONFIG.changed(roi=regions, **ROI))
    assert (result.converted, result.failed) == (3, 0)
    assert_agrees(target)
    for path in sorted(source.rglob("*.svs")):
        name = path.relative_to(source)
        changed = changed_pixels(path, target / name)
        with Image.open(regions / name.with_suffix(".png")) as mask:
            inside = np.asarray(mask) > 0
        assert not changed[inside].any()
        assert changed[~inside].any()
        assert wsicomp.verify(target / name, path, roi=regions / name.with_suffix(".png")).problems == ()


def test_a_second_run_finds_nothing_to_do_and_remembers_the_folder(trees, monkeypatch):
    source, target, regions = trees
    monkeypatch.chdir(regions.parent)
    run(source, target, CONFIG.changed(roi="regions", **ROI))
    made = files(target)
    values = tomllib.loads((target / "wsicomp.toml").read_text())
    assert values["roi"] == str(regions)
    monkeypatch.chdir("/")
    assert run_batch(source, target).converted == 0
    assert files(target) == made


def test_a_region_that_was_drawn_anew_makes_its_slide_due_and_no_other(trees):
    source, target, regions = trees
    config = CONFIG.changed(roi=regions, **ROI)
    run(source, target, config)
    made = files(target)
    draw(regions / "b/slide 1.png", 120, 120)
    worklist, _ = plan_batch(source, target, config)
    assert [entry.source for entry in worklist.due] == ["b/slide 1.svs"]
    with pytest.raises(ConfigError) as refused:
        run(source, target, config)
    assert refused.value.message == (
        "1 finished slide was converted with other options: b/slide 1.svs, its regions were drawn anew (the "
        "file of `roi` is another one); give the options of then, or `reconvert=True` to replace what they "
        "made"
    )
    assert files(target) == made
    assert run(source, target, config, reconvert=True).converted == 1
    assert {name for name, digest in files(target).items() if made[name] != digest} == {"b/slide 1.svs"}
    assert not changed_pixels(source / "b/slide 1.svs", target / "b/slide 1.svs")[120:160, 120:160].any()


def test_a_slide_without_a_file_of_regions_fails_until_it_has_one(trees):
    source, target, regions = trees
    missing = regions / "b/slide 1.png"
    held = missing.rename(regions / "held.png")
    config = CONFIG.changed(roi=regions, **ROI)
    result = run(source, target, config)
    assert (result.converted, result.failed) == (2, 1)
    entry = entries(target)["b/slide 1.svs"]
    assert (entry.state, entry.cause) == ("failed", "choices do not fit")
    assert f"{missing.parent}: no slide 1.geojson with the regions of this slide" in entry.error
    assert not (target / "b/slide 1.svs").exists()
    assert run(source, target, config).converted == 0

    held.rename(missing)
    assert run(source, target, config).converted == 1
    assert_agrees(target)


def test_a_finished_slide_needs_its_file_of_regions_no_more(trees):
    source, target, regions = trees
    config = CONFIG.changed(roi=regions, **ROI)
    run(source, target, config)
    made = files(target)
    (regions / "b/slide 1.png").unlink()
    result = run(source, target, config)
    assert (result.converted, result.failed) == (0, 0)
    assert files(target) == made


def test_two_files_of_regions_contradict_each_other(trees):
    source, target, regions = trees
    (regions / "b/slide 1.geojson").write_text("{}")
    run(source, target, CONFIG.changed(roi=regions, **ROI))
    entry = entries(target)["b/slide 1.svs"]
    assert "slide 1.geojson and slide 1.png both are regions of this slide" in entry.error


def test_a_slide_is_no_file_of_its_own_regions(trees):
    """Files of regions may lie beside their slides, and a slide may be a TIFF."""
    source, target, regions = trees
    (source / "a/slide 0.svs").rename(source / "a/slide 0.tif")
    (regions / "a/slide 0.png").rename(source / "a/slide 0.png")
    run(source, target, CONFIG.changed(roi=source, **ROI))
    assert entries(target)["a/slide 0.tif"].state == "done"


def test_another_name_of_a_file_has_regions_of_its_own(trees):
    source, target, regions = trees
    os.link(source / "a/slide 0.svs", source / "a/twin.svs")
    draw(regions / "a/twin.png", 140, 20)
    assert run(source, target, CONFIG.changed(roi=regions, **ROI)).converted == 4
    first, twin = (changed_pixels(source / name, target / name) for name in ("a/slide 0.svs", "a/twin.svs"))
    assert not first[:40, :40].any()
    assert twin[:40, :40].any()
    assert not twin[20:60, 140:180].any()


def test_tissue_as_it_is_found_is_remembered_by_its_word(trees):
    source, target, _ = trees
    run(source, target, CONFIG.changed(roi="tissue", **ROI))
    assert tomllib.loads((target / "wsicomp.toml").read_text())["roi"] == "tissue"
    made = files(target)
    assert run_batch(source, target).converted == 0
    assert files(target) == made


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        ("regions/a/slide 0.png", "is a file, of one slide"),
        ("nowhere", "is 'nowhere', and there is no such folder"),
        ("sam", "is for one slide"),
    ],
)
def test_regions_of_one_slide_are_refused_in_a_line(roi, message, trees, capsys, monkeypatch):
    source, target, _ = trees
    monkeypatch.chdir(source.parent)
    prompt = ["--box", "0,0,90,90"] if roi == "sam" else []
    assert main(["batch", "source", "target", "--roi", roi, *prompt]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert "--roi tissue" in line
    assert not target.exists()


def test_a_dry_run_foretells_by_the_files_of_regions(trees, capsys):
    source, target, regions = trees
    (regions / "b/slide 1.png").unlink()
    words = ["batch", str(source), str(target), "--dry-run", "--segmenter", "threshold", "--glass", "keep"]
    assert main([*words, "--roi", str(regions), "--tissue-codec", "jpeg:10"]) == 0
    out = capsys.readouterr().out
    assert "no slide 1.geojson with the regions of this slide" in out
    assert not target.exists()


def test_a_source_goes_only_if_its_regions_are_proved_once_more(trees):
    source, target, regions = trees
    config = CONFIG.changed(roi=regions, **ROI)
    run(source, target, config)
    (regions / "b/slide 1.png").unlink()
    choices = {"delete_source": True, "even_if_lossy": True, "quarantine_days": 0, "min_saving": 0}
    result = run(source, target, config, **choices)
    assert (result.deleted, result.kept) == (2, 1)
    assert [path.name for path in source.rglob("*.svs")] == ["slide 1.svs"]
    assert "another conversion" in entries(target)["b/slide 1.svs"].kept_because


def test_a_slide_without_regions_can_be_carried_as_it_is(trees):
    source, target, regions = trees
    (regions / "b/slide 1.png").unlink()
    result = run(source, target, CONFIG.changed(roi=regions, **ROI), carry_others=True)
    assert (result.converted, result.failed, result.carried) == (2, 1, 1)
    assert (target / "b/slide 1.svs").read_bytes() == (source / "b/slide 1.svs").read_bytes()


def test_lines_of_slides_say_that_something_is_lost_outside_of_regions(trees, capsys):
    source, target, regions = trees
    words = ["batch", str(source), str(target), "--segmenter", "threshold", "--glass", "keep", "--jobs", "1"]
    words += ["--roi", str(regions), "--tissue-codec", "jpeg:10", "--keep-if-larger", "keep"]
    assert main(words) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " -> " in line]
    assert len(lines) == 3
    assert all(".svs: LOSSY, " in line for line in lines)
    write_csv(target, target.parent / "slides.csv")
    with (target.parent / "slides.csv").open() as file:
        assert {row["tissue"] for row in csv.DictReader(file)} == {"lossy"}
    draw(regions / "b/slide 1.png", 120, 120)
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "b/slide 1.svs, its regions were drawn anew (the file of --roi is another one)" in line
    assert "--reconvert to replace" in line
    assert main([*words[:3], "--jobs", "1", "--reconvert"]) == 0


def test_info_of_a_conversion_tells_by_what_regions_are_stored(trees, capsys):
    source, target, regions = trees
    made = target.with_suffix(".svs")
    config = CONFIG.changed(roi=regions / "a/slide 0.png", **ROI)
    wsicomp.convert(source / "a/slide 0.svs", made, config)
    assert main(["info", str(made)]) == 0
    assert "  regions: label 1 copy; outside of them jpeg quality=10" in capsys.readouterr().out.splitlines()
    assert main(["info", str(made), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["conversion"]["regions"]
    assert [(each["name"], each["codec"], each["levels"][0]) for each in told] == [
        ("label 1", "copy", 0),
        ("", "jpeg quality=10", 0),
    ]

    plain = target.with_name("plain.svs")
    wsicomp.convert(source / "a/slide 0.svs", plain, CONFIG.changed(codec="jpeg", keep_if_larger="keep"))
    assert main(["info", str(plain)]) == 0
    assert "regions:" not in capsys.readouterr().out
