"""Regions that keep a quality of their own, as rows of a comparison: one for each codec of other tissue."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wsicomp.codecs.spec_text import ConfigValue, ConfigValues
from wsicomp.comparison.codec_specs import CodecSpec
from wsicomp.config import ConversionConfig, RegionConfig
from wsicomp.options import options_of


@dataclass(frozen=True)
class RegionSpec(CodecSpec):
    """Regions by their own codec, and other tissue by the codec of `config_values`."""

    outside: str = ""
    """The codec of other tissue, as a text."""
    regions: RegionConfig = field(default_factory=RegionConfig)
    """The regions and their codec."""

    @classmethod
    def of(cls, outside: CodecSpec, regions: RegionConfig) -> RegionSpec:
        """Return the row of a codec for tissue outside of `regions`.

        >>> RegionSpec.of(CodecSpec("jpeg:40", {}), RegionConfig(roi=Path("tumour.geojson"))).label
        'roi copy + jpeg:40'
        """
        label = f"roi {regions.roi_codec} + {outside.label}"
        return cls(label, outside.config_values, outside=outside.label, regions=regions)

    @property
    def family(self) -> str:
        """The label, for no other row stores regions so."""
        return self.label

    @property
    def is_neural(self) -> bool:
        """False, for neural tiles stand beside no others."""
        return False

    def config(self, base: ConversionConfig, glass: str) -> ConversionConfig:
        """Return the config of a conversion with regions, with everything else as in `base`.

        Raises:
            ConfigError: the codec can stand beside no region.
        """
        return base.changed(**self.row_options(glass))

    def row_options(self, glass: str) -> ConfigValues:
        """Return the options of a conversion with regions that rows without them do not have."""
        given = options_of(RegionConfig).items()
        values = {name: getattr(self.regions, name) for name, _ in given}
        chosen = {name: _plain(values[name]) for name, each in given if values[name] != each.default}
        both = {"roi_codec": self.regions.roi_codec, "tissue_codec": self.outside}
        return {**chosen, **both, "glass": glass}

    def takes(self, glass: str) -> bool:  # noqa: ARG002 - as in CodecSpec
        """Return True, for regions go with every treatment of glass."""
        return True


def _plain(value: ConfigValue | Path) -> ConfigValue:
    return str(value) if isinstance(value, Path) else value
