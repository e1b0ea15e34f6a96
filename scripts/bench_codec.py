"""Neural tiles a second, beside CompressAI in a loop with the same weights and beside JPEG XL.

Everything runs in turn, in rounds, and the fastest round of each counts. CompressAI does what its examples
do: one tile after another through `compress` and `decompress`, torch's own threads at work; its tables are
those of our commonest class, in the form that it keeps them in.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from usage import parser_of

from wsicomp.codecs.neural.model import Model
from wsicomp.codecs.registry import create_codec, decode_tiles, encode_tiles
from wsicomp.concurrency.threads import available_cores, batched, ordered_map
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region, Size
from wsicomp.slide import EncodedTile, Pixels
from wsicomp.synthetic import SyntheticSlide
from wsicomp.training.codec.network import build
from wsicomp.training.codec.settings import CodecNetwork

SIDE = 256
THEIRS = {
    "CompressAI decompress": ("CompressAI decompress",),
    "ours, decode": ("CompressAI decompress",),
    "ours, encode, decode and guard": ("CompressAI compress", "CompressAI decompress"),
}
LAX = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}


def tiles_of(paths: list[Path], count: int) -> list[Pixels]:
    """Tissue of slides, or of a drawn one."""
    found: list[Pixels] = []
    if not paths:
        slide = SyntheticSlide(Size(4096, 4096), seed=1, tissue_fraction=0.9)
        return [
            slide.render(Region(x, y, SIDE, SIDE))
            for y in range(1024, 3072, SIDE)
            for x in range(1024, 3072, SIDE)
        ][:count]
    for path in paths:
        with closing(open_reader(path)) as slide:
            size = slide.info.levels[0].size
            for y in range(size.height // 4, 3 * size.height // 4 - SIDE, SIDE):
                row = range(size.width // 4, 3 * size.width // 4 - SIDE, SIDE)
                found += [slide.read_region(0, Region(x, y, SIDE, SIDE)) for x in row]
    step = max(1, len(found) // count)
    return found[::step][:count]


def compressai_net(model: Model) -> Any:
    """CompressAI's network of the same weights."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in model.tensors.items()}
    *widths, latents = (len(tensors[f"g_a.{layer}.weight"]) for layer in (0, 2, 4, 6))
    kind = model.card.settings["nonlinearity"]
    net = build(
        CodecNetwork(channels=widths[0], widths=tuple(widths), latents=latents, nonlinearity=kind)
    ).eval()
    weights = {name: tensor.float() for name, tensor in tensors.items() if name.startswith(("g_a.", "g_s."))}
    net.load_state_dict(weights, strict=False)
    step = model.card.step
    lengths = tensors[f"tables.{step}.lengths"].long()
    parts = torch.split(tensors[f"tables.{step}.frequencies"].int(), lengths.tolist())
    classes = tensors.get(f"tables.{step}.classes")
    commonest = 0 if classes is None else int(classes[:-1].int().argmax())
    of = tensors[f"tables.{step}.of"].int()[commonest].tolist()
    width = int(lengths.max()) + 1
    cdf = torch.zeros(latents, width, dtype=torch.int32)
    for row, number in zip(cdf, of, strict=True):
        row[1 : len(parts[number]) + 1] = parts[number].cumsum(0)
    bottleneck = net.entropy_bottleneck
    bottleneck._quantized_cdf = cdf
    bottleneck._cdf_length = (lengths[of] + 1).int()
    bottleneck._offset = tensors[f"tables.{step}.offsets"].int()[of]
    with torch.no_grad():
        bottleneck.quantiles[:, 0, 1] = tensors["medians"]
    return net


def fastest(function: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Seconds of the fastest round, and what came of the last."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="SLIDE", help="whose tissue is encoded; none draws one"
    )
    parser.add_argument("--model", default="he-compact", help="a model's name or file")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--tiles", type=int, default=64, help="tiles in all")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts")
    options = parser.parse_args()
    tiles = tiles_of(options.paths, options.tiles)
    cores = available_cores()
    lax = {"model": options.model, "device": options.device, **LAX}
    usual = create_codec("bmshj2018-factorized", lax).model.card.step + 1
    codec = create_codec("bmshj2018-factorized", {**lax, "quality": usual})
    guarded = create_codec("bmshj2018-factorized", {"model": options.model, "device": options.device})
    other = create_codec("jpegxl", {"effort": 7})
    net = compressai_net(codec.model)
    pictures = [torch.from_numpy(tile).permute(2, 0, 1)[None].float() / 255 for tile in tiles]
    size = Size(SIDE, SIDE)

    def spread(function: Callable[[list[Any]], list[Any]], items: Sequence[Any]) -> list[Any]:
        return [found for part in ordered_map(function, batched(items, 16), cores) for found in part]

    def loop_compress() -> list[Any]:
        with torch.no_grad():
            return [net.compress(picture) for picture in pictures]

    rows = {}
    rows["CompressAI compress"], packed = fastest(loop_compress, options.rounds)

    def loop_decompress() -> list[Any]:
        with torch.no_grad():
            return [net.decompress(**tile)["x_hat"] for tile in packed]

    rows["CompressAI decompress"], _ = fastest(loop_decompress, options.rounds)
    rows["ours, encode"], payloads = fastest(lambda: spread(codec.payloads, tiles), options.rounds)
    rows["ours, encode, decode and guard"], made = fastest(
        lambda: spread(lambda part: encode_tiles(guarded, part), tiles), options.rounds
    )
    stored = [EncodedTile(payload, codec.encoding, size) for payload in payloads]
    rows["ours, decode"], _ = fastest(lambda: spread(decode_tiles, stored), options.rounds)
    rows["JPEG XL effort 7, encode"], _ = fastest(
        lambda: spread(lambda part: encode_tiles(other, part), tiles), options.rounds
    )
    table = Table(
        title=f"{len(tiles)} tiles of {SIDE} x {SIDE} px, {codec.config()['device']}, {cores} cores"
    )
    for name in ("", "tiles a second", "ms a tile", "times CompressAI"):
        table.add_column(name, justify="left" if not name else "right")
    for name, seconds in rows.items():
        base = sum(rows[part] for part in THEIRS.get(name, ("CompressAI compress",)))
        table.add_row(
            name, f"{len(tiles) / seconds:.1f}", f"{seconds / len(tiles) * 1e3:.1f}", f"{base / seconds:.2f}x"
        )
    Console(width=100).print(table)
    fell_back = sum(tile.fallback.name == "FELL_BACK" for tile in made)
    Console().print(f"{fell_back} of {len(made)} guarded tiles fell back")


if __name__ == "__main__":
    main()
