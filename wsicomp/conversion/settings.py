"""Settings: the options that a user chose, and their effective values by the defaults of a version.

A new version may have other defaults, options, networks and models. A file of an earlier one is still valid
as long as it has what is chosen now: an option agrees if its value is the same, or if it had its default then
and is not chosen now.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

from msgspec import Meta

from wsicomp.codecs.base import ModelCodec
from wsicomp.codecs.registry import create_codec
from wsicomp.config import ConversionConfig
from wsicomp.conversion.releases import RELEASES, Release, release_of, this_release
from wsicomp.errors import ConfigError, UnknownModelError
from wsicomp.files.inputs import is_folder
from wsicomp.formats.identity import file_sha256
from wsicomp.options import Value
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.tissue.segmenters.weights import load_weights

_FILES = ("mask", "weights", "model", "roi", "roi_classes", "points", "sam_weights")
"""Options that name files, which count by the digests of the files' contents."""
OF_EACH = "of each slide"
"""Stands for the digest of a folder that has a file for each slide."""
_BY_SLIDE = {"z", "from_level"}
"""Options for which a plan states what became of them on its slide."""
_Options: TypeAlias = Annotated[Mapping[str, str | int | float | bool | None], Meta(max_length=1000)]


@dataclass(frozen=True)
class Settings:
    """The settings of conversions, as a user chose them and as a version carried them out."""

    chosen: _Options = field(hash=False)
    """The options that differ from that version's defaults; files by the digests of their contents."""
    effective: _Options = field(hash=False)
    """The value of every option."""
    software: str
    """The version's name and number."""
    network: str
    """SHA-256 of the network that found tissue; "" where none did."""
    model: str
    """SHA-256 of a neural codec's model; "" where there is none."""

    @classmethod
    def of(cls, config: ConversionConfig) -> Settings:
        """Return the settings of a config by the defaults of this version.

        Raises:
            UnknownModelError, CodecUnavailableError, WeightsError: the chosen model, codec or network is not
                here.
        """
        return cls._by_release(_given(config, this_release()), this_release())

    @classmethod
    def of_plan(cls, plan: ConversionPlan, config: ConversionConfig) -> Settings:
        """Return the settings that made a plan's file; `config` is its `config_then`."""
        return cls._by_release(_given(config, _release(plan)), _release(plan))

    @classmethod
    def _by_release(cls, given: Mapping[str, Value], release: Release) -> Settings:
        effective = cast(_Options, _effective(given, release))
        codec = str(effective["codec"])
        chosen = {name: value for name, value in effective.items() if value != release.default(name, codec)}
        looks = effective["glass"] != "keep" or effective.get("roi") == "tissue"
        finds_tissue = looks and effective.get("mask") is None
        network = ""
        if finds_tissue and effective["segmenter"] == "unet":
            network = str(effective.get("weights") or release.shipped_network)
        model = str(effective.get("model") or "")
        digest = (release.model_digest(model) if model else "") or model
        return cls(chosen, effective, release.software, network, digest)

    def with_regions(self, sha256: str) -> Settings:
        """Return these settings with the regions of one slide, from a file of this SHA-256."""
        own = {"roi": sha256}
        return replace(self, chosen={**self.chosen, **own}, effective={**self.effective, **own})

    @property
    def digest(self) -> str:
        """SHA-256 over all settings, by which a ledger identifies them."""
        return _sha256_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def agrees(self, wanted: Settings) -> bool:
        """Return whether a file of these settings is what is `wanted` now.

        An option may differ where neither this nor the wanted setting chose it.
        """
        return next(self.differences(wanted), None) is None

    def differences(self, wanted: Settings) -> Iterator[str]:
        """Yield each option by which a file of these settings is not what is `wanted` now, in words."""
        for name, value in wanted.effective.items():
            is_same = name in self.effective and self.effective[name] == value
            if not is_same and (name in self.chosen or name in wanted.chosen):
                yield _difference(name, value, self.effective.get(name))

    def is_outdated(self, wanted: Settings | None = None) -> bool:
        """Return whether this version would write another file by the same, or the `wanted`, options."""
        now = wanted or Settings._by_release(self.chosen, this_release())
        is_other = any(self.effective.get(name, value) != value for name, value in now.effective.items())
        made_by = self.software, self.network, self.model
        return is_other or made_by != (now.software, now.network, now.model)


def model_codec(config: ConversionConfig) -> ModelCodec | None:
    """Return the config's codec if a model decodes its tiles, else None."""
    if not config.codec.needs_model:
        return None
    return cast(ModelCodec, create_codec(config.codec.name, config.codec.options))


def conversion_digest(sha256: str, config: ConversionConfig) -> str:
    """Return the digest of a conversion, over its source's SHA-256 and the chosen options.

    Raises:
        UnknownModelError, CodecUnavailableError, WeightsError: the chosen model, codec or network is not
            here.
    """
    return _sha256_of([sha256, dict(Settings.of(config).chosen)])


def config_then(plan: ConversionPlan, config: ConversionConfig) -> ConversionConfig:
    """Return the config that a plan was made by, if the options of `config` ask for the same.

    The plan itself is believed only within the defaults of its version: an option that is chosen now must
    stand in it as chosen, any other as it is now or as its default was then.

    Raises:
        ConfigError: the plan was made by other options, or by a version whose defaults are not known here.
    """
    release, now = _release(plan), this_release()
    wanted = Settings.of(config)
    names = config.lasting().keys() - _BY_SLIDE
    needed = {name for name in names if release.defaults.get(name) is not None}
    if not needed <= plan.stated_config.keys() <= names | _BY_SLIDE:
        raise ConfigError(
            "its config is not what this conversion has: an option is lacking, or not known here"
        )
    stated = release.spelled_now(plan.stated_config)
    then = _effective(stated, release)
    codec, options = str(then["codec"]), config.flat()
    for name in names:
        is_default = then[name] == release.default(name, codec) and name not in wanted.chosen
        if then[name] != wanted.effective[name] and not is_default:
            raise ConfigError("its config is not what this conversion has")
        is_as_now = release.default(name, codec) == now.default(name, codec)
        options[name] = stated.get(name) if is_as_now else then[name]
        if name not in plan.stated_config:
            del options[name]
    options["model"] = _model_then(plan, config, wanted, release)
    return ConversionConfig.of(**options)


def has_digest(plan: ConversionPlan, sha256: str, config: ConversionConfig) -> bool:
    """Return whether a plan has the digest of a source's conversion by these options.

    The digest may be this version's, or that of the version that made the plan. `sha256` is the source's.

    Raises:
        UnknownModelError, CodecUnavailableError, WeightsError: the chosen model, codec or network is not
            here.
    """
    release = release_of(plan.software) or this_release()
    configs = [config]
    with suppress(ConfigError):
        configs.append(config_then(plan, config))
    return any(plan.digest in _digests(sha256, each, release) for each in configs)


def past_settings(config: ConversionConfig) -> dict[str, Settings]:
    """Return a config's settings in earlier versions, by their digests.

    Ledgers of those versions hold the digests alone.

    Raises:
        UnknownModelError, CodecUnavailableError, WeightsError: the chosen model, codec or network is not
            here.
    """
    chosen = Settings.of(config).chosen
    found: dict[str, Settings] = {}
    for release in RELEASES.values():
        if release.had_digests_of_all:
            for each in (config, _by_defaults_of(release, config, chosen)):
                facts = _facts_of_all(each, release)
                found[_sha256_of(facts)] = Settings._by_release(_given(each, release), release)
    return found


def _by_defaults_of(
    release: Release, config: ConversionConfig, chosen: Mapping[str, Value]
) -> ConversionConfig:
    """Return the config with a release's defaults for the options that are not chosen."""
    codec = config.codec.name if "codec" in chosen else str(release.defaults["codec"])
    unchosen = [name for name in release.defaults if " " not in name and name not in chosen]
    changed = {
        name: release.default(name, codec)
        for name in unchosen
        if release.default(name, codec) != this_release().default(name, codec)
    }
    try:
        return config.changed(**changed)
    except ConfigError:
        return config


def _release(plan: ConversionPlan) -> Release:
    release = release_of(plan.software)
    if release is None:
        raise ConfigError(f"it was written by {plan.software:.40}, whose defaults are not known here")
    return release


def _given(config: ConversionConfig, release: Release) -> dict[str, Value]:
    """Return the given options that shape a file, and files by the digests of their contents.

    A model that shipped with a release is given by its name.
    """
    mask, weights = config.tissue.mask, config.tissue.weights
    given = config.lasting() | {
        "mask": None if mask is None else file_sha256(mask),
        "weights": None if weights is None else load_weights(weights).sha256,
        "model": None,
        "roi": _digest_of(config.regions.roi, config.regions.word),
        "roi_classes": _digest_of(config.regions.roi_classes),
        "points": _digest_of(config.prompts.points),
        "sam_weights": _digest_of(config.prompts.sam_weights),
    }
    codec = model_codec(config)
    if codec is not None:
        facts = codec.describe()
        name, digest = str(facts["name"]), str(facts["sha256"])
        known = (None, name) if release is this_release() else (None, name, digest)
        is_shipped = release.model_digest(name) == digest and config.codec.options.get("model") in known
        given["model"] = name if is_shipped else f"{digest} {facts['encoder_sha256']}"
    return given


def _digest_of(path: Path | None, word: str = "") -> str | None:
    """Return the digest of a file's contents, or the word that stands in its place."""
    if path is not None and is_folder(path):
        return OF_EACH
    return word or (None if path is None else file_sha256(path))


def _effective(given: Mapping[str, Value], release: Release) -> dict[str, Value]:
    """Return the value of each option, by a release's defaults for those that were not given."""
    codec = str(given.get("codec") or release.defaults["codec"])
    names = {*this_release().defaults, *given, *_FILES}
    values = {name: given.get(name) for name in names if " " not in name}
    return {
        name: release.default(name, codec) if value is None else value
        for name, value in sorted(values.items())
    }


def _model_then(plan: ConversionPlan, config: ConversionConfig, wanted: Settings, release: Release) -> Value:
    """Return the name of a plan's model as it is now, or its digest then."""
    given = config.codec.options.get("model")
    if plan.model is None or plan.model.get("sha256") == wanted.model.split(" ")[0]:
        return cast(Value, given)
    name = wanted.chosen.get("model") or release.default("model", plan.codec)
    if release.model_digest(str(name)) != plan.model.get("sha256"):
        raise ConfigError("its model is not what this conversion has")
    return str(plan.model["sha256"])


def _digests(sha256: str, config: ConversionConfig, release: Release) -> Iterator[str]:
    """Yield the digests that a release gave to the conversion of a source."""
    try:
        yield _sha256_of([sha256, dict(Settings._by_release(_given(config, release), release).chosen)])
        if release.had_digests_of_all:
            tissue, model, options = _facts_of_all(config, release)
            yield _sha256_of([release.software, sha256, tissue, model, options])
    except UnknownModelError:
        return  # one that shipped then, and is not here


def _facts_of_all(config: ConversionConfig, release: Release) -> list[Any]:
    """Return the facts of a digest over everything: what finds tissue, the model, every option."""
    given, codec = _given(config, release), model_codec(config)
    by = Settings._by_release(given, release)
    options = {name: value for name, value in config.lasting().items() if name in release.defaults}
    model = None if codec is None else codec.describe()
    return [given["mask"] or by.network or None, model, release.spelled_then(options)]


def _sha256_of(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _difference(name: str, now: Value, then: Value) -> str:
    """Return in words how an option differs; of two files the digests say nothing to a person."""
    if name in _FILES and _is_digest(now) and _is_digest(then):
        return f"the file of `{name}` is another one"
    return f"{name} is {_shown_file(now)}, was {_shown_file(then)}"


def _is_digest(value: Value) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _shown_file(value: Value) -> str:
    return "a file" if _is_digest(value) else _shown(value)


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not given" if value is None else f"{value:.40}" if isinstance(value, str) else f"{value:g}"
