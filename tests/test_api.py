"""The library's front door: what commands do, as functions."""

import subprocess
import sys

import numpy as np
import openslide
import pytest

import wsicomp
from tests.paths import ROOT
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

DRAWN = SyntheticSlide(Size(3000, 2000), seed=3, tissue_fraction=0.1)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "slide.svs"
    write_slide(path, DRAWN)
    return path


def test_a_slide_is_converted_verified_and_read_in_a_few_lines(source, tmp_path):
    stages = []
    config = wsicomp.ConversionConfig.of(segmenter="threshold")
    report = wsicomp.convert(
        source,
        tmp_path / "a.svs",
        config,
        audit=tmp_path / "audit.png",
        on_progress=lambda stage, done, total: stages.append((stage, done == total)),
    )
    assert report.target_bytes < source.stat().st_size
    assert (tmp_path / "audit.png").stat().st_size > 0
    assert {"identify", "write", "verify"} <= {stage for stage, _ in stages}
    assert stages[-1][1]
    assert wsicomp.verify(tmp_path / "a.svs", source).problems == ()
    with wsicomp.open_slide(tmp_path / "a.svs") as ours, openslide.OpenSlide(tmp_path / "a.svs") as theirs:
        assert ours.dimensions == theirs.dimensions == (3000, 2000)


def test_a_damaged_file_has_problems(source, tmp_path):
    wsicomp.convert(source, tmp_path / "a.svs", wsicomp.ConversionConfig.of(segmenter="threshold"))
    data = bytearray((tmp_path / "a.svs").read_bytes())
    data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
    (tmp_path / "a.svs").write_bytes(data)
    assert wsicomp.verify(tmp_path / "a.svs").problems


def test_tissue_comes_as_a_mask_of_the_whole_slide(source):
    mask = wsicomp.segment(source, wsicomp.ConversionConfig.of(segmenter="threshold"))
    assert (mask.dtype, mask.ndim) == (np.bool_, 2)
    assert mask.shape[1] / mask.shape[0] == pytest.approx(3000 / 2000, rel=0.05)
    assert 0 < mask.mean() < 1


def test_a_preset_by_its_name_restores_the_source(source, tmp_path):
    config = wsicomp.ConversionConfig.preset("archive-lossless", workers=1)
    assert wsicomp.convert(source, tmp_path / "kept.tiff", config).restorable
    wsicomp.restore(tmp_path / "kept.tiff", tmp_path / "again.svs")
    assert (tmp_path / "again.svs").read_bytes() == source.read_bytes()


@pytest.mark.gate
def test_codecs_are_compared(source, tmp_path):
    choices = wsicomp.ComparisonOptions(
        codecs=wsicomp.comparison.parse_codecs("jpeg:90,copy"),
        sample=20,
        base=wsicomp.ConversionConfig.of(segmenter="threshold", overwrite=True),
    )
    found = wsicomp.compare([source], tmp_path / "out", choices)
    assert {row.codec for row in found.summary} == {"jpeg:90", "copy"}
    assert (tmp_path / "out/index.html").is_file()


def test_a_missing_extra_is_told_in_one_traceback(source, tmp_path):
    code = f"""if 1:
        import sys
        sys.modules["torch"] = None
        import wsicomp
        config = wsicomp.ConversionConfig.of(codec="mbt2018-mean")
        wsicomp.convert({str(source)!r}, {str(tmp_path / "a.tiff")!r}, config)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr.count("Traceback") == 1
    assert "pip install 'wsicomp[neural]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("config", ["archive-lossless", {"codec": "jpeg"}, 3])
@pytest.mark.parametrize("function", [wsicomp.convert, wsicomp.convert_slide, wsicomp.segment])
def test_what_is_no_config_is_refused_with_the_way_to_make_one(tmp_path, function, config):
    takes_target = function in (wsicomp.convert, wsicomp.convert_slide)
    arguments = [tmp_path / "a.svs", tmp_path / "b.svs"][: 2 if takes_target else 1]
    with pytest.raises(wsicomp.ConfigError, match=r"ConversionConfig\.of.*ConversionConfig\.preset"):
        function(*arguments, config)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wsicomp.convert("", "b.svs"),
        lambda: wsicomp.convert("a.svs", ""),
        lambda: wsicomp.convert("a.svs", "b.svs", audit=""),
        lambda: wsicomp.convert_slide("", "b.svs"),
        lambda: wsicomp.plan_slide(""),
        lambda: wsicomp.segment(""),
        lambda: wsicomp.verify(""),
        lambda: wsicomp.verify("a.svs", ""),
        lambda: wsicomp.restore("", "b.svs"),
        lambda: wsicomp.restore("a.tiff", ""),
        lambda: wsicomp.compare("", "out"),
        lambda: wsicomp.compare(["a.svs", ""], "out"),
        lambda: wsicomp.compare("a.svs", ""),
        lambda: wsicomp.ConversionConfig.preset(""),
        lambda: wsicomp.open_slide(""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(wsicomp.WsicompError, match="an empty path"):
        call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"codecs": "copy"}, "copy"])
def test_what_are_no_options_of_a_comparison_is_refused_with_the_way_to_make_some(options, source, tmp_path):
    with pytest.raises(wsicomp.ConfigError, match=r"ComparisonOptions\.of"):
        wsicomp.compare(source, tmp_path / "out", options)


def test_nothing_cannot_be_compared(tmp_path):
    with pytest.raises(wsicomp.ConfigError, match="name a slide"):
        wsicomp.compare([], tmp_path / "out")


@pytest.mark.parametrize("workers", [0, -1, "2", 2.5])
def test_a_check_has_threads_as_a_conversion_has(workers, source):
    with pytest.raises(wsicomp.ConfigError, match="workers is"):
        wsicomp.verify(source, workers=workers)


def test_a_check_that_found_a_problem_passes_no_if(tmp_path):
    write_slide(tmp_path / "a.svs", SyntheticSlide(Size(512, 512), seed=1))
    write_slide(tmp_path / "b.svs", SyntheticSlide(Size(512, 512), seed=2))
    alone = wsicomp.verify(tmp_path / "a.svs")
    against = wsicomp.verify(tmp_path / "a.svs", tmp_path / "b.svs")
    assert alone
    assert alone.is_sound
    assert not against
    assert not against.is_sound


def test_options_of_a_comparison_are_taken_as_text():
    options = wsicomp.ComparisonOptions.of(codecs="copy,jpeg:80", glass="white", sample="whole", seed=3)
    assert [spec.label for spec in options.codecs] == ["copy", "jpeg:80"]
    assert (options.glass, options.sample, options.seed) == (("white",), None, 3)
    for wrong in (
        {"codecs": "jpgxl:1"},
        {"codec": "jpeg"},
        {"glass": "black"},
        {"glass": ("black",)},
        {"codecs": ("jpeg:80",)},
        {"sample": "5"},
    ):
        with pytest.raises(wsicomp.ConfigError):
            wsicomp.ComparisonOptions.of(**wrong)
    with pytest.raises(wsicomp.ConfigError, match=r"did you mean jpegxl\?"):
        wsicomp.ComparisonOptions.of(codecs="jpgxl:1")
