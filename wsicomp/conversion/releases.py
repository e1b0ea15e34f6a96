"""The defaults of each version of wsicomp, so that later versions know what it wrote.

Each release has a line in `RELEASES`. A new one copies the line before and states what became different: a
default, a new option, another network or model. A test fails where this version and its line disagree.

A new option's default does what was done before there was such an option: a version that did not know it
counts as having been at that default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, cast

from wsicomp.codecs.registry import codecs, needs_model
from wsicomp.config import ConversionConfig
from wsicomp.options import Value
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights
from wsicomp.version import PROGRAM, SOFTWARE


@dataclass(frozen=True)
class Release:
    """The defaults of a version."""

    software: str
    """Its name and number, as in the files that it wrote."""
    defaults: Mapping[str, Value] = field(repr=False)
    """The default of every option that shapes a file; a codec's own as "jpeg quality"."""
    network: str = ""
    """SHA-256 of the tissue network that shipped; "" for the one that ships here."""
    models: Mapping[str, str] | None = None
    """SHA-256 of each codec model that shipped, by its name; None for those that ship here."""
    had_digests_of_all: bool = False
    """Whether its digests were over every option, the network and the version, chosen or not."""
    spellings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For an option whose values had other names then: the names then, by those of today."""

    def spelled_then(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return options, in the names of values that it had."""
        return {name: self._spelled(name, value, self.spellings) for name, value in values.items()}

    def spelled_now(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return options that it wrote, in the names that values have today."""
        today = {name: {then: now for now, then in of.items()} for name, of in self.spellings.items()}
        return {name: self._spelled(name, value, today) for name, value in values.items()}

    @staticmethod
    def _spelled(name: str, value: Value, spellings: Mapping[str, Mapping[str, str]]) -> Value:
        return spellings.get(name, {}).get(value, value) if isinstance(value, str) else value

    def default(self, name: str, codec: str) -> Value:
        """Return the default of an option for a codec.

        For an option that the release did not know it is today's default.
        """
        if name == "model":
            return self._default_model(codec)
        encoder = "jpeg" if codec in ("auto", "copy") else codec
        for known in (self.defaults, this_release().defaults):
            for key in (f"{encoder} {name}", name):
                if key in known:
                    return known[key]
        return None

    def _default_model(self, codec: str) -> Value:
        key = f"{codec} model"
        if not needs_model(codec) or key in self.defaults:
            return self.defaults.get(key)
        return cast(Value, _store().DEFAULTS.get(codec))

    def model_digest(self, name: str) -> str:
        """Return the SHA-256 of a codec model that shipped; "" if none has this name."""
        models = _store().shipped_models() if self.models is None else self.models
        return cast(str, models.get(name, ""))

    @property
    def shipped_network(self) -> str:
        """The SHA-256 of its default tissue network.

        Raises:
            WeightsError: the network ships with this version, and is damaged.
        """
        return self.network or load_weights(SHIPPED).sha256


_NEURAL = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier")
_GUARD: Mapping[str, Value] = {"min_ssim": 0.95, "min_psnr": 25.0, "max_color_shift": 6.0}
_DEFAULTS_0_5_0: Mapping[str, Value] = {
    **dict.fromkeys(("quality", "distance", "effort", "psnr", "rate", *_GUARD)),
    "codec": "auto",
    "lossless": False,
    "restorable": False,
    "overview": "none",
    "embed_model": False,
    "glass": "blank",
    "background": "white",
    "segmenter": "unet",
    "magnification": 2.5,
    "hole_um": 100.0,
    "speck_um": 20.0,
    "margin_um": 50.0,
    "format": "auto",
    "levels": "source",
    "label": True,
    "macro": True,
    "deidentify": False,
    "jpeg quality": 90,
    "jpegxl effort": 7,
    "webp quality": 90,
    **{f"{codec} {name}": value for codec in _NEURAL for name, value in _GUARD.items()},
    "bmshj2018-factorized model": "he-compact",
}
_DEFAULTS_0_7_0: Mapping[str, Value] = {
    **_DEFAULTS_0_5_0,
    "z": None,
    "from_level": 0,
    "max_power": None,
    "like": None,
    "box": None,
    "prompt": None,
    "roi_codec": "copy",
    "tissue_codec": "auto",
    "roi_margin_um": 0.0,
    **dict.fromkeys(("roi_offset", "roi_mpp", "roi_threshold", "roi_downsample")),
    "background": "auto",
}
_SPELLINGS_0_5_0 = {"glass": {"blank": "white"}}
_NETWORK_0_5_0 = "c355ff30ca7ee39c862e2f572b46e3771bcc285838bb647925f35f383bb365b9"
_NETWORK_0_7_0 = "3f02ce845be623d7cdcd4401f12ef3dba74f2ff57f7c169b756ff8c9a18e7ece"
_MODELS_0_5_0 = {
    "he-compact": "39effc431e4688f7202130487b44f03056fe01b4ebd51be58d845f3735b80e2b",
    "he-fine": "04892639259cd3c2b74ca5108069764ee4fe1a145af2798d47f38bf686a045e8",
}

RELEASES: Mapping[str, Release] = {
    release.software: release
    for release in (
        Release(
            f"{PROGRAM} 0.5.0",
            _DEFAULTS_0_5_0,
            _NETWORK_0_5_0,
            _MODELS_0_5_0,
            had_digests_of_all=True,
            spellings=_SPELLINGS_0_5_0,
        ),
        Release(
            f"{PROGRAM} 0.6.0",
            {**_DEFAULTS_0_5_0, "z": None},
            _NETWORK_0_5_0,
            _MODELS_0_5_0,
            had_digests_of_all=True,
            spellings=_SPELLINGS_0_5_0,
        ),
        Release(f"{PROGRAM} 0.7.0", _DEFAULTS_0_7_0, _NETWORK_0_7_0, _MODELS_0_5_0),
    )
}
"""Every released version, by the name and number in its files."""


@cache
def this_release() -> Release:
    """Return the defaults of this version."""
    defaults = ConversionConfig().lasting()
    for info in codecs().values():
        own = {f"{info.name} {each.name}": each.default for each in info.options if each.name in defaults}
        defaults |= {name: value for name, value in own.items() if value is not None}
    return Release(SOFTWARE, defaults)


def release_of(software: str) -> Release | None:
    """Return the release of this name and number; None for one that is not known."""
    return this_release() if software == SOFTWARE else RELEASES.get(software)


def _store() -> Any:
    """Return the module that finds models, which few need."""
    return import_module("wsicomp.codecs.neural.store")
