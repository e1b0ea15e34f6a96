"""Regions that keep a quality of their own, as rows of a comparison: one for each codec of other tissue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wsicomp.codecs.spec_text import ConfigValue, ConfigValues
from wsicomp.comparison.codec_specs import CodecSpec
from wsicomp.config import ConversionConfig


@dataclass(frozen=True)
class RegionSpec(CodecSpec):
    """Regions by their own codec, and other tissue by the codec of `config_values`."""

    outside: str = ""
    """The codec of other tissue, as a text."""
    regions: ConfigValues = field(default_factory=dict)
    """The options of a conversion that name the regions and their codec."""

    @classmethod
    def of(cls, outside: CodecSpec, base: ConversionConfig) -> RegionSpec:
        """Return the row of a codec for tissue outside of the regions of a config.

        >>> base = ConversionConfig.of(roi="tissue")
        >>> RegionSpec.of(CodecSpec("jpeg:40", {}), base).label
        'roi copy + jpeg:40'
        """
        kept = base.regions.roi_codec
        label, regions = f"roi {kept} + {outside.label}", {**dict(_chosen(base)), "roi_codec": kept}
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
        return {**self.regions, "tissue_codec": self.outside, "glass": glass}

    def takes(self, glass: str) -> bool:  # noqa: ARG002 - as in CodecSpec
        """Return True, for regions go with every treatment of glass."""
        return True


def _chosen(base: ConversionConfig) -> Iterator[tuple[str, ConfigValue]]:
    """Yield the options on regions that are no defaults, which a config without regions lacks."""
    plain = base.without_regions().flat()
    for name, value in base.flat().items():
        if value is not None and value != plain.get(name):
            yield name, str(value) if isinstance(value, Path) else value
