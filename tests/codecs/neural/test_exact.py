"""A payload is read to the same latents, bit for bit, whatever the machine does about floating point."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.codecs.neural.models import ARCHITECTURES, DATA, digest, model, payload_of, picture, read_latents
from tests.conftest import each_of, slow_unless
from tests.paths import ROOT
from wsicomp.codecs.neural import payload, runtime, store
from wsicomp.codecs.neural.build import build_network
from wsicomp.codecs.neural.exact import ExactConv

pytestmark = pytest.mark.gate


@pytest.fixture(params=ARCHITECTURES)
def golden(request):
    with np.load(DATA) as stored:
        data = stored[f"{request.param}/payload"].tobytes()
        expected = str(stored[f"{request.param}/latents"])
    return store.remember(model(request.param)), payload.unpack(data), expected


@pytest.fixture
def torch_settings():
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.set_flush_denormal(False)


def test_a_golden_payload_is_read_as_ever(golden):
    _, tile, expected = golden
    assert digest(read_latents(tile)) == expected


@pytest.mark.parametrize(("threads", "precision"), each_of([1, 2, 8], ["highest", "medium"]))
def test_threads_and_precision_of_products_change_nothing(golden, torch_settings, threads, precision):
    _, tile, expected = golden
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    with torch.autocast("cpu", torch.bfloat16):
        assert digest(read_latents(tile)) == expected


def test_flushing_denormals_changes_nothing(golden, torch_settings):
    _, tile, expected = golden
    torch.set_flush_denormal(True)
    assert digest(read_latents(tile)) == expected


@pytest.mark.parametrize("batch", [2, 8])
def test_the_batch_changes_nothing(golden, batch):
    found, tile, expected = golden
    net = build_network(found, "cpu")
    others = [payload_of(found, picture(seed=seed))[0].strings for seed in range(1, batch)]
    size = runtime.padded(tile.size.shape, net.multiple_px)
    latents = net.read([*others, tile.strings], size, 0)
    assert digest(latents[-1]) == expected


def test_what_was_written_is_what_is_read(golden):
    found, _, _ = golden
    for seed in range(3):
        tile, latents = payload_of(found, picture((64, 128), seed))
        off = np.abs(read_latents(tile) - latents).max()
        assert 0 < off <= 0.5 + 1e-3  # quantised by steps of 1


def test_a_decoder_without_its_encoder_reads_the_same(golden):
    from wsicomp.codecs.neural.model import parse_model

    found, tile, expected = golden
    decoder = parse_model(found.decoder().to_bytes())
    assert decoder.digest == found.digest
    assert not decoder.can_encode
    net = build_network(decoder, "cpu")
    latents = net.read([tile.strings], runtime.padded(tile.size.shape, net.multiple_px), 0)
    assert digest(latents[0]) == expected


OTHER_MACHINES = {
    "no AVX in torch": {"ATEN_CPU_CAPABILITY": "default"},
    "AVX2 in torch": {"ATEN_CPU_CAPABILITY": "avx2"},
    "SSE4.1 in oneDNN": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "SSE4.2 in MKL, one thread": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "OMP_NUM_THREADS": "1"},
    "MKL's compatible branch": {"MKL_CBWR": "COMPATIBLE"},
}
READ_ALL = """
import json, sys
import numpy as np
from tests.codecs.neural.models import ARCHITECTURES, DATA, digest, model, read_latents
from wsicomp.codecs.neural import payload, store
found = {}
with np.load(DATA) as stored:
    for name in ARCHITECTURES:
        store.remember(model(name))
        tile = payload.unpack(stored[f"{name}/payload"].tobytes())
        found[name] = digest(read_latents(tile))
json.dump(found, sys.stdout)
"""


@pytest.mark.parametrize("machine", slow_unless("no AVX in torch".__eq__, OTHER_MACHINES))
def test_processors_with_other_instructions_read_the_same(machine):
    environment = {**os.environ, **OTHER_MACHINES[machine]}
    run = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    with np.load(DATA) as stored:
        assert json.loads(run.stdout) == {name: str(stored[f"{name}/latents"]) for name in ARCHITECTURES}


@pytest.mark.parametrize("transposed", [False, True])
def test_sums_of_an_exact_convolution_do_not_depend_on_their_order(transposed):
    torch.manual_seed(0)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    plain = kind(48, 32, 5, 2, 2)
    order = torch.randperm(48)
    shuffled = kind(48, 32, 5, 2, 2)
    with torch.no_grad():
        shuffled.weight.copy_(plain.weight[order] if transposed else plain.weight[:, order])
        shuffled.bias.copy_(plain.bias)
    inputs = torch.randn(2, 48, 12, 12) * 30
    exact = ExactConv(plain)(inputs)
    assert torch.equal(exact, ExactConv(shuffled)(inputs[:, order]))
    assert torch.allclose(exact.float(), plain(inputs), atol=2e-2)


def test_weights_too_large_for_exact_sums_are_refused():
    conv = nn.Conv2d(8, 8, 3)
    with torch.no_grad():
        conv.weight.fill_(1e12)
    with pytest.raises(ValueError, match="too large for exact sums"):
        ExactConv(conv)
    with torch.no_grad():
        conv.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        ExactConv(conv)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_payload_made_on_a_gpu_is_read_on_the_cpu(golden):
    found, _, _ = golden
    net = build_network(found, "cuda")
    strings = net.write(net.analyse(runtime.pictures([picture()], net.multiple_px)), 0)
    there = net.read(strings, (128, 192), 0)
    assert (build_network(found, "cpu").read(strings, (128, 192), 0) == there).all()
