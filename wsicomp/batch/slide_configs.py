"""The config of each slide of a batch: the same for all, but for each slide's own file of regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wsicomp.batch.outcomes import JobOutcome, outcome_of_error
from wsicomp.config import ConversionConfig
from wsicomp.conversion.region_files import config_of_slide, has_folder_of_regions
from wsicomp.conversion.settings import Settings
from wsicomp.errors import MaskError, WsicompError
from wsicomp.formats.identity import file_sha256
from wsicomp.progress import Progress


@dataclass(frozen=True)
class RefusedJob:
    """Stands for the conversion of a slide whose regions nobody can tell: it fails with the reason."""

    name: str
    """The slide's source, as text."""
    source: Path
    """The slide's file."""
    message: str
    """Why it is not converted."""
    place: str | None
    """The file that was looked for."""

    def run(self, on_progress: Progress) -> JobOutcome:  # noqa: ARG002 - as in every job
        """Return the failure."""
        return outcome_of_error(MaskError(self.message, self.place), self.source)


class SlideConfigs:
    """The configs and settings of the slides of a batch, by their sources."""

    def __init__(self, config: ConversionConfig, root: Path) -> None:
        """Take the config of a batch; `root` is the source tree."""
        self._config, self._root = config, root
        self._settings: dict[str, Settings] = {}
        self.common = Settings.of(config)
        """The settings that all slides share."""

    def config(self, source: str) -> ConversionConfig:
        """Return the config of a slide.

        Raises:
            MaskError: the slide has no file of regions, or two.
        """
        return config_of_slide(self._config, self._root, source)

    def settings(self, source: str) -> Settings:
        """Return the settings of a slide; without a file of regions those that all slides share."""
        if not has_folder_of_regions(self._config):
            return self.common
        if source not in self._settings:
            self._settings[source] = self._found(source)
        return self._settings[source]

    def every(self, sources: Iterable[str]) -> dict[str, Settings]:
        """Return the settings of all these slides by their digests."""
        each = map(self.settings, sources) if has_folder_of_regions(self._config) else ()
        return {settings.digest: settings for settings in (self.common, *each)}

    def _found(self, source: str) -> Settings:
        try:
            roi = self.config(source).regions.roi
            assert roi is not None, "the slide has regions"
            return self.common.with_regions(file_sha256(roi))
        except WsicompError:  # its conversion says why
            return self.common
