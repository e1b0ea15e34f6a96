"""Compare codecs on volumes: size, time, and how true what comes back is; as tables and as a page.

`compare_volumes` does it, `VolumeComparisonOptions` says what is tried, `VolumeComparison` is the result.
"""

from wsicomp.volumes.comparison.api import compare_volumes
from wsicomp.volumes.comparison.options import VolumeComparisonOptions
from wsicomp.volumes.comparison.results import ComparedVolume, VolumeComparison, VolumeRow

__all__ = ["ComparedVolume", "VolumeComparison", "VolumeComparisonOptions", "VolumeRow", "compare_volumes"]
