"""A batch that an earlier version finished has nothing to do, and stays provable until its sources go."""

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from tests.batch.trees import entries, files, run
from tests.drawn import forged
from tests.paths import FIXTURES
from wsicomp import convert_slide
from wsicomp.batch import Ledger, read_report, rebuild_ledger
from wsicomp.batch.proof import ProofJob
from wsicomp.config import ConversionConfig
from wsicomp.conversion import releases
from wsicomp.conversion.prepare import plan_flaw, prepare
from wsicomp.conversion.releases import RELEASES, this_release
from wsicomp.conversion.settings import Settings, _digests, config_then, has_digest, past_settings
from wsicomp.errors import ConfigError, LedgerError
from wsicomp.formats.opening import open_reader, open_tiff
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.progress import Stages
from wsicomp.version import SOFTWARE

pytestmark = pytest.mark.gate

ARCHIVE = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", restorable=True)
JPEG = ConversionConfig.of(codec="jpeg", quality=80)
BATCHES = {"plain": ConversionConfig(), "archive": ARCHIVE, "jpeg": JPEG}
TAKING = {"delete_source": True, "even_if_lossy": True, "quarantine_days": 0, "min_saving": 0}
OF_0_5_0 = {
    "b578d42c3a706608c83565a41307bb4342925d0c4cf9e542b669b78bf0790228": {},
    "2a4c44c0984ca42aacf827ad153e6a11949dbf1d5b1b2b1af1183782374ea281": ARCHIVE.flat(),
    "1dd7656f8a9740ab3434c52fc92eb0c6245eeb7a62b5a313e14c7b884a7b4102": {"codec": "jpeg", "quality": 80},
    "0f9008ed29b394eba5d5383f76fd44e1678b1df5e7bf6bf87a0c23f43ae5386b": {"codec": "jpeg", "quality": 90},
    "4f3a403457c2d5aefc1186cbcf022f6a6be8f233bf1a426c44d3e4eb553a4850": {
        "segmenter": "threshold",
        "margin_um": 0,
    },
    "b840fecb77c8f82fee9baab731aa229cd769d2599873e48bd97a78db44235b45": {"codec": "he-compact"},
    "f085f988a2d5f7eec7da145b5123088da5308344dc911bc45730a8dc3809197f": {"codec": "he-fine"},
}
"""What 0.5.0 wrote into its ledgers as the digest of options."""


@pytest.fixture
def batches(tmp_path):
    """The batches of 0.5.0, with the times by which their ledgers know the files."""
    for name in BATCHES:
        source, target = tmp_path / name / "source", tmp_path / name / "target"
        shutil.copytree(FIXTURES / "v050_batches/source", source)
        shutil.copytree(FIXTURES / "v050_batches" / name, target)
        (target / ".wsicomp").mkdir()
        (target / "ledger.sqlite").rename(target / ".wsicomp/ledger.sqlite")
        for entry in entries(target).values():
            for path, time in (
                (source / entry.source, int(entry.stamp.split("-")[1])),
                (target / entry.target, entry.target_mtime_ns),
            ):
                os.utime(path, ns=(time, time))
    return tmp_path


def again(folder, name, **options):
    """Run one of the batches."""
    place = folder / name
    config = BATCHES[name]
    return run(place / "source", place / "target", config, jobs=1, source_moved=True, **options)


@pytest.mark.parametrize("name", BATCHES)
def test_a_finished_batch_of_0_5_0_has_nothing_to_do_and_is_counted_as_outdated(batches, name):
    target = batches / name / "target"
    before = files(target)
    for _ in range(2):
        result = again(batches, name)
        assert (result.converted, result.adopted, result.outdated, result.is_good) == (0, 0, 1, True)
    assert files(target) == before
    assert read_report(target).outdated == 1
    with Ledger(target, read_only=True) as ledger:
        (entry,) = ledger.entries()
        assert ledger.settings()[entry.settings].software == "wsicomp 0.5.0"


def test_redo_outdated_converts_again_and_then_nothing_is_outdated(batches):
    target = batches / "jpeg/target"
    before = files(target)
    result = again(batches, "jpeg", redo_outdated=True)
    assert (result.converted, result.outdated) == (1, 0)
    assert files(target) != before
    result = again(batches, "jpeg", redo_outdated=True)
    assert (result.converted, result.outdated) == (0, 0)
    assert read_report(target).outdated == 0


@pytest.mark.parametrize("name", BATCHES)
def test_a_target_of_0_5_0_without_its_ledger_is_taken_on_and_known_as_outdated(batches, name):
    target = batches / name / "target"
    before = files(target)
    shutil.rmtree(target / ".wsicomp")
    result = again(batches, name)
    assert (result.converted, result.adopted) == (0, 1)
    assert files(target) == before
    result = again(batches, name)
    assert (result.converted, result.adopted, result.outdated) == (0, 0, 1)


def test_the_source_of_a_target_of_0_5_0_can_be_proved_to_be_replaced(batches):
    result = again(batches, "jpeg", **TAKING)
    assert (result.quarantined, result.deleted) == (1, 1)
    assert not (batches / "jpeg/source/a/slide 1.svs").exists()


@pytest.mark.parametrize("options", [{"quality": 90}, {"margin_um": 60}, {"levels": "full"}])
def test_what_is_chosen_now_has_to_be_in_a_target_of_0_5_0(batches, options):
    place = batches / "jpeg"
    target = place / "target/a/slide 1.svs"
    job = ProofJob(
        "a/slide 1.svs",
        place / "source/a/slide 1.svs",
        target,
        entries(place / "target")["a/slide 1.svs"].source_sha256,
        entries(place / "target")["a/slide 1.svs"].target_sha256,
        True,
        JPEG.changed(**options),
    )
    outcome = job.run(lambda *_: None)
    assert outcome.state == "skipped"
    assert "the options of this run would make another conversion" in outcome.error
    config = JPEG.changed(**options)
    with pytest.raises(ConfigError, match="1 finished slide was converted with other options"):
        run(place / "source", place / "target", config, jobs=1, source_moved=True)
    result = run(place / "source", place / "target", config, jobs=1, source_moved=True, reconvert=True)
    assert (result.converted, result.adopted) == (1, 0)


@pytest.mark.parametrize("digest", OF_0_5_0)
def test_digests_of_0_5_0_are_recognised(digest):
    config = ConversionConfig.of(**OF_0_5_0[digest])
    found = past_settings(config)[digest]
    assert found.software == "wsicomp 0.5.0"
    assert found.agrees(Settings.of(config))
    assert found.is_outdated()
    assert not found.agrees(Settings.of(config.changed(overview="none", hole_um=7)))


def test_this_version_has_its_line_among_the_releases():
    """Where this fails, a default, the network or a model has changed: see `RELEASES` on how to state it."""
    line, now = RELEASES[SOFTWARE], this_release()
    assert {name: value for name, value in line.defaults.items() if not name.endswith(" model")} == {
        **now.defaults
    }
    assert line.network == now.shipped_network
    codecs = {"bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier"}
    assert all(line.default("model", codec) == now.default("model", codec) for codec in codecs)
    assert all(now.model_digest(name) == digest for name, digest in line.models.items())


def at(monkeypatch, **defaults):
    """Have this version be a later one whose defaults are others; 0.6.0 is one that is known."""
    now = replace(this_release(), software="wsicomp 9.0.0", defaults={**this_release().defaults, **defaults})
    for place in ("wsicomp.conversion.settings.this_release", "wsicomp.conversion.releases.this_release"):
        monkeypatch.setattr(place, lambda: now)
    monkeypatch.setattr(releases, "SOFTWARE", "wsicomp 9.0.0")


CHANGED = [
    ({}, {}, "settled"),
    ({}, {"margin_um": 60.0}, "settled"),
    ({"margin_um": 60.0}, {"margin_um": 60.0}, "settled"),
    ({"margin_um": 70.0}, {"margin_um": 60.0}, "due"),
    ({}, {"margin_um": 70.0}, "due"),
    ({"quality": 80}, {"quality": 80}, "settled"),
    ({"quality": 80}, {}, "due"),
    ({"quality": 90}, {}, "settled"),
    ({}, {"quality": 90}, "settled"),
    ({}, {"quality": 85}, "due"),
]
"""What was chosen with margins of 50 um by default, and is chosen now that they are 60, of codec jpeg."""


@pytest.mark.parametrize(("chosen", "wanted", "verdict"), CHANGED)
def test_an_option_agrees_by_its_value_or_where_it_was_and_is_left_at_its_default(
    monkeypatch, chosen, wanted, verdict
):
    then = Settings.of(ConversionConfig.of(codec="jpeg", **chosen))
    at(monkeypatch, margin_um=60.0)
    now = Settings.of(ConversionConfig.of(codec="jpeg", **{"margin_um": 60.0, **wanted}))
    assert then.agrees(now) is (verdict == "settled")


GLASS = [
    ({}, {}, "settled"),
    ({}, {"glass": "white"}, "settled"),
    ({}, {"background": "white"}, "settled"),
    ({}, {"background": "#00ff00"}, "due"),
    ({}, {"glass": "keep"}, "due"),
    ({"glass": "keep"}, {"glass": "keep"}, "settled"),
    ({"background": "auto"}, {}, "settled"),
    ({"background": "auto"}, {"glass": "white"}, "due"),
    ({"background": "#00ff00"}, {"background": "#00ff00"}, "settled"),
    ({"background": "#00ff00"}, {}, "due"),
]
"""What was chosen when glass was white by default, and is chosen now that it keeps its colour."""


@pytest.mark.parametrize(("chosen", "wanted", "verdict"), GLASS)
def test_glass_of_0_6_0_is_known_by_what_it_was_called(chosen, wanted, verdict):
    release, now = RELEASES["wsicomp 0.6.0"], ConversionConfig.of(**wanted)
    then = {"glass": "white", "background": "white", **chosen}
    stated = {**now.lasting(), **then}
    tissue = None if then["glass"] == "keep" else release.network
    told = [tissue, None, {name: value for name, value in stated.items() if name in release.defaults}]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    assert (digest in past_settings(now)) is (verdict == "settled")


def test_an_option_that_was_not_known_then_agrees_unless_it_is_chosen(monkeypatch):
    then = Settings.of(ConversionConfig())
    at(monkeypatch, halo=None)
    now = Settings.of(ConversionConfig())
    assert then.agrees(now)
    assert not then.agrees(replace(now, chosen={"halo": 3}, effective={**now.effective, "halo": 3}))


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("later") / "slide.svs"
    forged.draw_tissue(path)
    with closing(open_reader(path)) as opened:
        yield opened


def test_a_plan_by_an_earlier_default_is_known_and_by_no_other_value(slide, monkeypatch):
    narrow = ConversionConfig.of(segmenter="threshold", codec="jpeg")
    plans = {
        margin: ConversionPlan.from_json(
            prepare(slide, narrow.changed(margin_um=margin), Stages()).plan.to_json()
        )
        for margin in (50.0, 55.0)
    }
    sha256 = plans[50.0].source.sha256
    at(monkeypatch, margin_um=60.0)
    now = narrow.changed(margin_um=60.0)
    assert plan_flaw(slide, sha256, now, plans[50.0]) == ""
    assert has_digest(plans[50.0], sha256, now)
    assert config_then(plans[50.0], now).tissue.margin_um == 50
    assert "its config is not what" in plan_flaw(slide, sha256, now, plans[55.0])
    lie = replace(plans[55.0], digest=plans[50.0].digest)
    assert "its config is not what" in plan_flaw(slide, sha256, now, lie)
    chosen = now.changed(margin_um=70.0)
    assert "its config is not what" in plan_flaw(slide, sha256, chosen, plans[50.0])
    for other in (
        replace(plans[50.0], software="wsicomp 0.1.0"),
        replace(plans[50.0], stated_config={**plans[50.0].stated_config, "halo": 3}),
        replace(plans[50.0], stated_config={**plans[50.0].stated_config, "glass": "keep"}),
        replace(plans[50.0], stated_config={**plans[50.0].stated_config, "label": []}),
    ):
        assert plan_flaw(slide, sha256, now, other) != ""
        with pytest.raises(ConfigError):
            config_then(other, now)


def test_a_plan_by_an_earlier_default_of_a_codec_is_known(slide, monkeypatch):
    config = ConversionConfig.of(segmenter="threshold", codec="jpeg")
    plan = ConversionPlan.from_json(prepare(slide, config, Stages()).plan.to_json())
    at(monkeypatch, **{"jpeg quality": 85})
    assert config_then(plan, config).codec.options == {"quality": 90}
    assert plan_flaw(slide, plan.source.sha256, config, plan) == ""
    assert plan_flaw(slide, plan.source.sha256, config.changed(quality=80), plan) != ""


FORGED = {
    "no JSON": "{",
    "a list": "[1]",
    "other fields": '{"chosen": {}}',
    "a list of options": '{"chosen": [], "effective": {}, "software": "", "network": "", "model": ""}',
    "nested options": '{"chosen": {"a": {}}, "effective": {}, "software": "", "network": "", "model": ""}',
    "another digest": '{"chosen": {}, "effective": {}, "software": "", "network": "", "model": ""}',
}


@pytest.mark.parametrize("name", FORGED)
def test_a_ledger_whose_settings_no_run_writes_is_refused(batches, name):
    again(batches, "archive")
    target = batches / "archive/target"
    with closing(sqlite3.connect(target / ".wsicomp/ledger.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE settings SET json = ?", (FORGED[name],))
    for command in (read_report, lambda _: again(batches, "archive")):
        with pytest.raises(LedgerError, match=r"settings .*batch rebuild"):
            command(target)
    rebuild_ledger(target)
    result = again(batches, "archive")
    assert (result.converted, result.adopted) == (0, 1)


def test_a_target_that_says_that_it_is_of_an_earlier_version_is_held_against_its_source_all_the_same(
    tmp_path,
):
    source, target = tmp_path / "source/slide.svs", tmp_path / "target/slide.svs"
    source.parent.mkdir()
    target.parent.mkdir()
    forged.draw_tissue(source)
    white, release = forged.COPIED.changed(glass="white"), RELEASES["wsicomp 0.5.0"]

    def of_0_5_0(plan):
        return replace(
            forged.FORGERIES["every tile blank"].plan(plan),
            software=release.software,
            stated_config=release.spelled_then(plan.stated_config),
            digest=next(_digests(plan.source.sha256, white, release)),
        )

    lies = forged.Forgery(white, (), of_0_5_0, forged.FORGERIES["every tile blank"].tile)
    forged.forge(source, target, lies)
    result = run(source.parent, target.parent, forged.COPIED, jobs=1, **TAKING)
    assert (result.converted, result.adopted) == (1, 0)
    with closing(open_tiff(target)) as converted:
        assert converted.provenance.plan.software == SOFTWARE


def test_the_digest_of_a_conversion_is_over_what_was_chosen_alone(slide, tmp_path, monkeypatch):
    config = ConversionConfig.of(segmenter="threshold", codec="jpeg")
    first = convert_slide(slide.info.path, tmp_path / "1.tiff", config)
    at(monkeypatch, hole_um=200.0)
    later = convert_slide(slide.info.path, tmp_path / "2.tiff", config.changed(hole_um=200.0))
    assert first.digest == later.digest
    other = convert_slide(slide.info.path, tmp_path / "3.tiff", config.changed(hole_um=100.0))
    assert other.digest != first.digest
