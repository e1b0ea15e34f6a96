"""Seconds a patch of the tissue network, beside a bare LiteRT call, and its masks beside those of Keras.

Everything in one run, on one drawn slide at 4 um per px; the fastest of several rounds. Keras runs in a
process of its own, where the train extra is installed.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from usage import parser_of

from wsicomp.concurrency.threads import available_cores
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Region, Size
from wsicomp.progress import no_progress
from wsicomp.slide import Pixels
from wsicomp.synthetic import SyntheticSlide
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import LiteRtNetwork, UnetSegmenter, enlarged
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights

KERAS = """
import sys, time, json, numpy as np, keras
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
patches = np.load(sys.argv[2])
model.predict_on_batch(patches[:1])
start = time.perf_counter()
found = np.stack([np.asarray(model.predict_on_batch(patch[None]))[0, ..., 1] for patch in patches])
np.save(sys.argv[3], found)
print(json.dumps((time.perf_counter() - start) / len(patches)))
"""


def fastest(work: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def patches_of(pixels: Pixels) -> Pixels:
    """Those without overlap, (patches, 512, 512, 3)."""
    rows, columns = pixels.shape[0] // 512, pixels.shape[1] // 512
    grid = pixels[: rows * 512, : columns * 512].reshape(rows, 512, columns, 512, 3)
    return np.ascontiguousarray(grid.swapaxes(1, 2)).reshape(-1, 512, 512, 3)


def agreement_with_keras(patches: Pixels, network: LiteRtNetwork) -> str:
    facts = json.loads(SHIPPED.read_text())
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "patches.npy", Path(folder) / "found.npy"
        np.save(given, patches)
        model = SHIPPED.parent / facts["files"]["keras"]["name"]
        command = [sys.executable, "-c", KERAS, str(model), str(given), str(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return "Keras cannot run here; pip install 'wsicomp[train]'"
        by_keras = np.stack([enlarged(own, patches.shape[1]) for own in np.load(found)])
    by_litert = np.stack([network.tissue(patch) for patch in patches])
    same = np.mean((by_litert > 0.5) == (by_keras > 0.5))
    difference = np.abs(by_litert - by_keras).max()
    seconds = float(done.stdout.split()[-1])
    agreed = f"masks agree on {same:.4%} of pixels, probabilities within {difference:.1e}"
    return f"Keras                       {seconds:.3f} s a patch; {agreed}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--side", type=int, default=2560, help="px of the slide at 4 um per px")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts")
    options = parser.parse_args()
    drawn = SyntheticSlide(Size(options.side * 8, options.side * 8), seed=7, tissue_fraction=0.6)
    whole = Region(0, 0, options.side, options.side)
    slide = PictureSlide(Path("drawn"), drawn.render(whole, 8), 4.0)
    overview = read_overview(slide, available_cores(), no_progress)
    counted: list[int] = []
    every = UnetSegmenter(skips_blank=False)
    every.segment(slide, overview, available_cores(), lambda _, total: counted.append(total))
    network = LiteRtNetwork(load_weights(), available_cores())
    patches = patches_of(slide.read_region(0, whole))
    bare = fastest(lambda: [network.tissue(patch) for patch in patches], options.rounds) / len(patches)
    print(f"{options.side} x {options.side} px at 4 um per px, {counted[0]} patches of 512 x 512 px")
    print(f"bare LiteRT call            {bare:.3f} s a patch")
    for name, segmenter in (("whole segmenter", every), ("  blank patches skipped", UnetSegmenter())):
        seconds = fastest(
            lambda own=segmenter: own.segment(slide, overview, available_cores(), no_progress), options.rounds
        )
        each = seconds / counted[0]
        print(f"{name:28}{each:.3f} s a patch, {each / bare:.2f} of a bare call")
    seconds = fastest(
        lambda: ThresholdSegmenter().segment(slide, overview, available_cores(), no_progress), options.rounds
    )
    print(f"colour threshold            {seconds:.3f} s the slide")
    print(agreement_with_keras(patches, network))


if __name__ == "__main__":
    main()
