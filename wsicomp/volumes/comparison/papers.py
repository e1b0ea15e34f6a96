"""What two published studies found, as they printed it, to stand beside what is measured here.

Their data are other data: figures of one table do not say who is better, only whether things are alike.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRatio:
    """A codec's median compression ratio in the study of diffusion."""

    codec: str
    """As the study calls it."""
    original: float
    """Of the volumes as they were."""
    diffused: float
    """Of the same after diffusion outside the organ."""
    ours: str = ""
    """The codec of ours that is the same; "" for none."""


PUBLISHED_REGIONS = "348.17 MB to 60.57 MB, printed as 6.89 : 1 (the sizes give 5.75 : 1)"
"""Region of interest, U-Net and HEVC on BraTS 2020 FLAIR: the region's box at CRF 20, the rest at 40."""

PUBLISHED_DIFFUSION: tuple[PublishedRatio, ...] = (
    PublishedRatio("GZ", 1.7, 2.1),
    PublishedRatio("RAR", 2.28, 3.29),
    PublishedRatio("ZIP", 1.6, 2.34),
    PublishedRatio("BZ2", 2.28, 3.45, "bz2"),
    PublishedRatio("7z", 2.13, 3.06),
    PublishedRatio("iSyntax", 2.26, 2.93),
    PublishedRatio("SPIHT", 2.54, 3.3),
    PublishedRatio("JPEG-LS", 2.63, 4.12, "jpegls"),
    PublishedRatio("J2K", 2.18, 3.22, "jpeg2000"),
    PublishedRatio("HEVC visually lossless", 4.73, 6.45, "hevc:1"),
)
"""Diffusion steered by a map of the liver, medians over 141 CT."""
PUBLISHED_DIFFUSION_QUALITY = "entropy 9.15 to 8.66 bits, PSNR 70 dB (peak 65535), SSIM .95"
"""What diffusion alone does there."""


def published_ratio(codec: str) -> PublishedRatio | None:
    """Return what the study of diffusion has of a candidate's codec; None if it has none."""
    return next((each for each in PUBLISHED_DIFFUSION if each.ours and each.ours == codec), None)
