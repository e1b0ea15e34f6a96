"""Targets named by digests, and the key that says whose they are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests import tiffs
from tests.batch.trees import entries, run
from tests.drawn.nights import draw_tissue
from wsicomp.batch import Ledger
from wsicomp.batch.api import run_batch
from wsicomp.batch.options import BatchOptions
from wsicomp.cli import main
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError

pytestmark = pytest.mark.gate

CONFIG = ConversionConfig.of(glass="keep", deidentify=True, workers=1)


def test_targets_are_named_by_digests_and_the_key_lies_apart(tmp_path):
    source, target, key = tmp_path / "source", tmp_path / "target", tmp_path / "key.json"
    (source / "Doe").mkdir(parents=True)
    tiffs.write_tiff(source / "Doe" / "Doe, Jane.svs")
    choices = BatchOptions(jobs=1, min_free=0, name_key=key)
    run_batch(source, target, CONFIG, choices)
    (made,) = [path for path in target.rglob("*.svs") if ".wsicomp" not in path.parts]
    assert "Doe" not in str(made.relative_to(target))
    assert json.loads(key.read_text())["names"] == {made.name: "Doe/Doe, Jane.svs"}
    stamp = made.stat().st_mtime_ns
    run_batch(source, target, CONFIG, choices)
    assert made.stat().st_mtime_ns == stamp


@pytest.fixture
def night(tmp_path):
    """Two slides, and what a run needs to name their conversions by a key."""
    for number in range(2):
        draw_tissue(tmp_path / f"source/Doe/Jane {number}.svs", number)
    return tmp_path / "source", tmp_path / "target", tmp_path / "key.json"


def deidentified(night, config=CONFIG, **choices):
    source, target, key = night
    return run(source, target, config, name_key=key, jobs=1, **choices)


def rebuilt(target):
    for path in (target / ".wsicomp").glob("ledger.sqlite*"):
        path.unlink()
    assert main(["batch", "rebuild", str(target)]) == 0


@pytest.mark.gate
def test_a_ledger_that_was_rebuilt_without_the_key_knows_its_slides_again_by_the_run_with_it(night, capsys):
    _, target, _ = night
    deidentified(night)
    before = {name: entry.target for name, entry in entries(target).items()}
    rebuilt(target)
    assert set(entries(target)) == set(before.values())
    result = deidentified(night)
    assert (result.converted, result.adopted, result.failures) == (0, 2, 0)
    assert {name: entry.target for name, entry in entries(target).items()} == before
    other = CONFIG.changed(codec="jpeg", quality=80)
    for converted in (2, 0):
        result = deidentified(night, other, reconvert=True)
        assert (result.converted, result.failures) == (converted, 0)
    assert sorted(entries(target)) == sorted(before)
    capsys.readouterr()
    assert main(["batch", "status", str(target)]) == 0
    assert capsys.readouterr().out.startswith(f"{target}: 2 done")


def test_rows_that_an_earlier_run_left_twice_become_one(night):
    _, target, _ = night
    deidentified(night)
    found = entries(target)
    with Ledger(target) as ledger:
        ledger.put([replace(entry, source=entry.target) for entry in found.values()])
    assert len(entries(target)) == 4
    assert deidentified(night).is_good
    assert entries(target) == found


def test_a_source_in_quarantine_is_known_by_the_key_too(night):
    _, target, _ = night
    config = CONFIG.changed(codec="jpeg", quality=50)
    removal = {"delete_source": True, "even_if_lossy": True, "min_saving": 0}
    assert deidentified(night, config, **removal).quarantined == 2
    rebuilt(target)
    deidentified(night, config)
    assert [entry.removal for entry in entries(target).values()] == ["quarantined"] * 2
    assert sorted(entries(target)) == ["Doe/Jane 0.svs", "Doe/Jane 1.svs"]


def test_a_key_in_a_tree_or_without_deidentify_is_refused(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for place in (source / "key", target / "key"):
        with pytest.raises(ConfigError, match="apart from both trees"):
            run_batch(source, target, CONFIG, BatchOptions(name_key=place))
    with pytest.raises(ConfigError, match="deidentify"):
        run_batch(source, target, ConversionConfig.of(glass="keep"), BatchOptions(name_key=tmp_path / "key"))
    (tmp_path / "broken").write_text("{")
    with pytest.raises(ConfigError, match="is not a key"):
        run_batch(source, target, CONFIG, BatchOptions(name_key=tmp_path / "broken"))
