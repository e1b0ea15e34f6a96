"""Targets named by digests, and the key that says whose they are."""

from __future__ import annotations

import json

import pytest

from tests import tiffs
from wsicomp.batch.choices import BatchChoices
from wsicomp.batch.coordinator import run_batch
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError

CONFIG = ConversionConfig(glass="keep", deidentify=True, workers=1)


def test_targets_are_named_by_digests_and_the_key_lies_apart(tmp_path):
    source, target, key = tmp_path / "source", tmp_path / "target", tmp_path / "key.json"
    (source / "Doe").mkdir(parents=True)
    tiffs.write_tiff(source / "Doe" / "Doe, Jane.svs")
    choices = BatchChoices(jobs=1, min_free=0, name_key=key)
    run_batch(source, target, CONFIG, choices)
    (made,) = [path for path in target.rglob("*.svs") if ".wsicomp" not in path.parts]
    assert "Doe" not in str(made.relative_to(target))
    assert json.loads(key.read_text())["names"] == {made.name: "Doe/Doe, Jane.svs"}
    stamp = made.stat().st_mtime_ns
    run_batch(source, target, CONFIG, choices)
    assert made.stat().st_mtime_ns == stamp


def test_a_key_in_a_tree_or_without_deidentify_is_refused(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for place in (source / "key", target / "key"):
        with pytest.raises(ConfigError, match="apart from both trees"):
            run_batch(source, target, CONFIG, BatchChoices(name_key=place))
    with pytest.raises(ConfigError, match="deidentify"):
        run_batch(source, target, ConversionConfig(glass="keep"), BatchChoices(name_key=tmp_path / "key"))
    (tmp_path / "broken").write_text("{")
    with pytest.raises(ConfigError, match="no key"):
        run_batch(source, target, CONFIG, BatchChoices(name_key=tmp_path / "broken"))
