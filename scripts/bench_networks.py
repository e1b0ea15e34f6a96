"""Size, operations and CPU ms a patch of tissue networks, in turn in one run, with one thread.

Operations are two for each multiplication of a convolution, for a patch of 512 x 512 px. Keras counts them in
a process of its own, where the train extra is installed.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from usage import parser_of

from wsicomp.geometry import Region, Size
from wsicomp.slide import Pixels
from wsicomp.synthetic import SyntheticSlide
from wsicomp.tissue.segmenters.unet import LiteRtNetwork
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights

COUNT = """
import sys, math, keras
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
model = keras.Model(model.input, [layer.output for layer in convolutions])
pairs = zip(convolutions, model.compute_output_shape((1, 512, 512, 3)))
print(sum(2 * shape[1] * shape[2] * math.prod(layer.kernel.shape) for layer, shape in pairs))
"""


def operations(manifest: Path) -> str:
    """Return the billions of operations, or "-" where Keras cannot run."""
    keras = json.loads(manifest.read_text())["files"]["keras"]["name"]
    command = [sys.executable, "-c", COUNT, str(manifest.parent / keras)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "-" if done.returncode else f"{float(done.stdout.split()[-1]) / 1e9:.2f}"


def cpu_ms(network: LiteRtNetwork, pixels: Pixels) -> float:
    start = time.process_time()
    network.tissue(pixels)
    return (time.process_time() - start) * 1000


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("manifests", nargs="*", type=Path, default=[SHIPPED], help="manifests of networks")
    parser.add_argument("--rounds", type=int, default=15, help="patches for each; the median counts")
    options = parser.parse_args()
    slide = SyntheticSlide(Size(4096, 4096), seed=7, tissue_fraction=0.6)
    pixels = slide.render(Region(0, 0, 512, 512), 8)
    weights = [load_weights(manifest) for manifest in options.manifests]
    networks = [LiteRtNetwork(own, 1) for own in weights]
    for network in networks:
        network.tissue(pixels)
    rounds = [[cpu_ms(network, pixels) for network in networks] for _ in range(options.rounds)]
    print("| network | kB | billion operations | CPU ms a patch |\n| --- | --- | --- | --- |")
    for manifest, own, times in zip(options.manifests, weights, np.transpose(rounds), strict=True):
        median = statistics.median(times.tolist())
        print(f"| {own.name} | {len(own.litert) / 1000:.0f} | {operations(manifest)} | {median:.1f} |")


if __name__ == "__main__":
    main()
