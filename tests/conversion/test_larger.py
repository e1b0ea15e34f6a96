"""A conversion that gains nothing, the names of targets, and loss that nobody asked for."""

import shutil

import pytest

import wsicomp
from tests.command_line import run_command
from tests.conftest import slow_unless
from tests.drawn import forged, kinds
from wsicomp import ConversionConfig
from wsicomp.batch import BatchOptions, Ledger, run_batch
from wsicomp.errors import ConfigError, NothingGainedError

LARGER = {"codec": "jpeg", "quality": 100, "segmenter": "threshold"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("larger") / "slide.svs"
    forged.draw_tissue(path)
    return path


@pytest.fixture(scope="module")
def generic(tmp_path_factory):
    path = tmp_path_factory.mktemp("generic") / "generic.tif"
    kinds.pyramid(path, compression="jpeg")
    return path


def config_of(**more):
    return ConversionConfig.of(**LARGER, **more)


def test_a_larger_result_says_so_in_the_first_line(source, tmp_path):
    options = ("--codec", "jpeg", "--quality", "100", "--segmenter", "threshold")
    _, out, _ = run_command("convert", source, tmp_path / "a.svs", *options)
    assert "LARGER than its source" in out.splitlines()[0]
    assert (tmp_path / "a.svs").stat().st_size > source.stat().st_size


def test_a_larger_result_can_fail_and_leaves_nothing(source, tmp_path):
    with pytest.raises(NothingGainedError, match=r"larger .* nothing was written"):
        wsicomp.convert(
            source, tmp_path / "a.svs", config_of(keep_if_larger="fail"), audit=tmp_path / "a.png"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_source_itself_can_stand_in_the_place_of_a_larger_result(source, tmp_path):
    report = wsicomp.convert(source, tmp_path / "a.svs", config_of(keep_if_larger="copy"))
    assert (tmp_path / "a.svs").read_bytes() == source.read_bytes()
    assert not (tmp_path / "a.svs").samefile(source)
    assert (report.is_source, report.saved, report.tissue.value) == (True, 0, "exact bytes")
    assert report.outcome.reversible
    assert "its conversion would have been" in report.notes[0]
    assert [level.copied for level in report.levels] == [16, 4]


@pytest.mark.parametrize("more", [{"deidentify": True}, {"label": False}, {"levels": "full"}])
def test_the_source_never_stands_there_where_its_names_were_to_go(source, tmp_path, more):
    report = wsicomp.convert(source, tmp_path / "a.svs", config_of(keep_if_larger="copy", **more))
    assert not report.is_source
    assert (tmp_path / "a.svs").read_bytes() != source.read_bytes()


def test_the_source_itself_is_sound_beside_its_source_and_nothing_else_is(source, tmp_path):
    wsicomp.convert(source, tmp_path / "a.svs", config_of(keep_if_larger="copy"))
    assert wsicomp.verify(tmp_path / "a.svs", source).is_sound
    forged.draw_tissue(tmp_path / "other.svs", 5)
    assert not wsicomp.verify(tmp_path / "other.svs", source).is_sound


def test_what_cannot_take_its_targets_place_says_why(source, tmp_path):
    report = wsicomp.convert(source, tmp_path / "a.svs", config_of(keep_if_larger="copy", deidentify=True))
    assert (
        "it gains nothing, and the source's own file cannot stand there: names would come along"
        in report.notes
    )


def test_a_batch_copies_through_what_gains_nothing_and_finds_it_done(source, tmp_path):
    tree, out = tmp_path / "in", tmp_path / "out"
    tree.mkdir()
    shutil.copy(source, tree / "slide.svs")
    run = run_batch(tree, out, config_of(), BatchOptions(jobs=1))
    assert run.converted == 1
    assert (out / "slide.svs").read_bytes() == source.read_bytes()
    assert run_batch(tree, out, config_of(), BatchOptions(jobs=1)).converted == 0
    with Ledger(out, read_only=True) as ledger:
        (entry,) = ledger.entries()
    assert "it is the source's own file" in entry.notes
    shutil.rmtree(out / ".wsicomp")
    assert run_batch(tree, out, config_of(), BatchOptions(jobs=1)).failed == 0
    assert (out / "slide.svs").read_bytes() == source.read_bytes()


def test_a_batch_loses_nothing_of_tissue_unless_a_codec_is_named(source, tmp_path):
    tree = tmp_path / "in"
    tree.mkdir()
    wsicomp.convert(source, tree / "slide.svs", ConversionConfig.of(codec="jpeg2000", glass="keep"))
    config = ConversionConfig.of(glass="keep", format="tiff", keep_if_larger="keep")
    run = run_batch(tree, tmp_path / "out", config, BatchOptions(jobs=1))
    assert (run.converted, run.failed) == (0, 1)
    with Ledger(tmp_path / "out", read_only=True) as ledger:
        (entry,) = ledger.entries()
    assert entry.cause == "would lose pixels of tissue"
    assert '`codec="jpeg"`' in entry.error
    named = run_batch(tree, tmp_path / "out", config.changed(codec="jpeg"), BatchOptions(jobs=1))
    assert (named.converted, named.failed) == (1, 0)


SUFFIXES = {
    # (source, options): the suffixes that are taken
    ("slide.svs", ""): {".svs"},
    ("slide.svs", "--format tiff"): {".tif", ".tiff", ".btf"},
    ("slide.svs", "--codec jpeg --lossless"): {".svs"},
    ("slide.svs", "--codec jpeg"): {".svs"},
    ("slide.svs", "--codec jpeg2000"): {".svs"},
    ("slide.svs", "--codec jpegxl --effort 1"): {".tif", ".tiff", ".btf"},
    ("slide.svs", "--codec webp"): {".tif", ".tiff", ".btf"},
    ("slide.svs", "--glass empty"): {".tif", ".tiff", ".btf"},
    ("generic.tif", ""): {".tif", ".tiff", ".btf"},
    ("generic.tif", "--codec jpeg"): {".tif", ".tiff", ".btf"},
    ("generic.tif", "--codec jpeg --format svs"): {".svs"},
}


def named():
    """Each with each suffix; at the gate, those of TIFF that go as `.tiff` does once for each source."""
    cases = [(*case, suffix) for case in SUFFIXES for suffix in (".svs", ".tiff", ".tif", ".btf")]
    return slow_unless(lambda case: case[1] == "" or case[2] in (".svs", ".tiff"), cases)


@pytest.mark.parametrize("case", named(), ids=" ".join)
def test_the_name_of_a_target_says_what_it_is(case, source, generic, tmp_path):
    name, options, suffix = case
    target = tmp_path / f"target{suffix}"
    source = generic if name == "generic.tif" else source
    arguments = ("convert", source, target, "--segmenter", "threshold", *options.split())
    code, _, err = run_command(*arguments, "--dry-run")
    if suffix in SUFFIXES[name, options]:
        assert (code, err) == (0, "")
        return
    assert code == 2
    proposed = err.partition("name it ")[2].split()[0].strip(",")
    assert proposed in {f"target{each}" for each in SUFFIXES[name, options]}
    code, _, err = run_command("convert", source, tmp_path / proposed, *arguments[3:])
    assert (code, err) == (0, "")


def test_a_name_that_is_refused_leaves_nothing(tmp_path):
    forged.draw_tissue(tmp_path / "slide.svs")
    with pytest.raises(ConfigError, match=r"Aperio SVS; name it a\.svs"):
        wsicomp.convert(
            tmp_path / "slide.svs", tmp_path / "a.tiff", ConversionConfig.of(segmenter="threshold")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["slide.svs"]
