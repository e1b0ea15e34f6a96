"""Model files and where they are found: nothing runs code, nothing is taken for another."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.codecs.neural.models import model, network
from wsicomp.codecs.neural import runtime, store
from wsicomp.codecs.neural.build import build_network
from wsicomp.codecs.neural.model import ModelCard, create_model, parse_model, read_model
from wsicomp.codecs.registry import create_codec
from wsicomp.errors import ConfigError, UnknownModelError, WeightsError


@pytest.fixture(scope="module")
def factorized():
    return model("bmshj2018-factorized")


@pytest.fixture
def file(factorized, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(factorized.to_bytes())
    return path


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """No models but those that ship, and none remembered."""
    monkeypatch.setattr(store, "_known", {})
    monkeypatch.delenv("WSICOMP_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_a_model_comes_back_with_its_digest(factorized, file):
    back = read_model(file)
    assert back.card == factorized.card
    assert back.digest == factorized.digest
    assert all((back.tensors[name] == factorized.tensors[name]).all() for name in factorized.tensors)


def test_the_digest_is_of_the_decoder_and_what_it_goes_by(factorized):
    other = dict(factorized.tensors)
    other["g_a.0.bias"] = other["g_a.0.bias"] + 1
    assert create_model(factorized.card, other).digest == factorized.digest
    other["g_s.0.bias"] = other["g_s.0.bias"] + 1
    assert create_model(factorized.card, other).digest != factorized.digest
    renamed = create_model(replace(factorized.card, name="another"), factorized.tensors)
    assert renamed.digest == factorized.digest
    assert (
        create_model(replace(factorized.card, steps=(2.0,)), factorized.tensors).digest != factorized.digest
    )


@pytest.mark.parametrize("at", [0, 3, 7, 20, 200, -1, -2000])
def test_a_damaged_model_is_no_model_or_another_one(factorized, at):
    data = bytearray(factorized.decoder().to_bytes())
    data[at] ^= 0x41
    with pytest.raises(WeightsError):
        parse_model(bytes(data))


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth.tar", ".pt", ".pth"])
def test_a_pickle_is_refused_and_not_run(tmp_path, suffix, fresh):
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(WeightsError, match=r"pickle|weights"):
        create_codec("bmshj2018-factorized", {"model": str(path)})


@pytest.mark.parametrize("suffix", [".safetensors", ".pth.tar"])
def test_a_checkpoint_of_torch_with_code_in_it_is_refused_and_not_run(tmp_path, suffix, fresh):
    path = tmp_path / f"evil{suffix}"
    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(WeightsError, match=r"pickle|weights") as error:
        create_codec("bmshj2018-factorized", {"model": str(path)})
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 8, (1 << 60).to_bytes(8, "little") + b"{}", b"\2\0\0\0\0\0\0\0{}", b"not a model at all"],
)
def test_what_is_no_model_is_refused(tmp_path, data, fresh):
    path = tmp_path / "none.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"not a codec model|is empty"):
        create_codec("bmshj2018-factorized", {"model": str(path)})


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": []},
        {"steps": [0.0]},
        {"steps": [float("nan")]},
        {"step": 1},
        {"step": "0"},
        {"format": "wsicomp codec model 99"},
        {"settings": []},
        {"name": 3},
        {"more": 1},
        {"steps": [10**400]},
    ],
)
def test_a_card_that_says_nonsense_is_refused(factorized, changed):
    card = json.dumps(factorized.card.to_json() | changed)
    data = safetensors.numpy.save(dict(factorized.tensors), {"wsicomp": card, "sha256": factorized.digest})
    with pytest.raises(WeightsError, match=r"not a codec model|format"):
        parse_model(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("g_s.0.weight", np.zeros((12, 8), np.float32)),
        ("g_s.6.weight", np.zeros((7, 3, 5, 5), np.float32)),
        ("g_s.2.weight", np.zeros((8, 20_000, 5, 5), np.int8)),
        ("medians", np.zeros(3, np.float32)),
        ("tables.0.of", np.full((1, 12), 99, np.uint16)),
        ("tables.0.lengths", np.full(12, 1, np.uint16)),
    ],
)
def test_tensors_that_do_not_fit_are_refused_when_the_network_is_built(factorized, name, value):
    found = create_model(factorized.card, {**factorized.tensors, name: value})
    with pytest.raises(WeightsError, match="no bmshj2018-factorized"):
        runtime.network(found, "cpu")


def test_a_model_that_lacks_a_tensor_is_refused():
    for architecture in ("bmshj2018-factorized", "mbt2018-mean", "elic2022-chandelier"):
        found = model(architecture)
        lacking = next(name for name in found.tensors if name.startswith("g_s."))
        tensors = {name: tensor for name, tensor in found.tensors.items() if name != lacking}
        with pytest.raises(WeightsError, match=architecture):
            build_network(create_model(found.card, tensors), "cpu")


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("mbt2018-mean", {"N": 10**9, "M": 12}),
        ("mbt2018-mean", {"N": 512, "M": 512}),
        ("mbt2018-mean", {"N": -1, "M": 12}),
        ("mbt2018-mean", {"N": "8", "M": 12}),
        ("mbt2018-mean", {}),
        ("elic2022-chandelier", {"N": 8, "M": 512, "groups": [1] * 512}),
        ("elic2022-chandelier", {"N": 8, "M": 12, "groups": [12]}),
    ],
)
def test_sizes_from_a_file_are_not_trusted(architecture, settings):
    found = model(architecture)
    with pytest.raises(WeightsError, match=architecture):
        build_network(create_model(replace(found.card, settings=settings), found.tensors), "cpu")


def test_as_many_tables_as_channels():
    found = model("mbt2018-mean")
    tensors = {
        name: tensor[:3] if "entropy_bottleneck._" in name else tensor
        for name, tensor in found.tensors.items()
    }
    with pytest.raises(WeightsError, match="3 tables for 8 channels"):
        build_network(create_model(found.card, tensors), "cpu")


def test_a_card_nested_beyond_reason_is_refused(factorized):
    card = json.dumps(factorized.card.to_json() | {"settings": {"nonlinearity": "deep"}})
    card = card.replace('"deep"', "[" * 990 + "]" * 990)
    with pytest.raises(WeightsError):
        parse_model(safetensors.numpy.save(dict(factorized.tensors), {"wsicomp": card}))


def test_an_unknown_name_is_told_with_those_that_there_are_and_where(
    fresh, tmp_path, monkeypatch, factorized
):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.safetensors").write_bytes(factorized.to_bytes())
    monkeypatch.setenv("WSICOMP_MODELS", str(tmp_path / "models"))
    assert store.find_model("bmshj2018-factorized", "mine").digest == factorized.digest
    with pytest.raises(UnknownModelError) as error:
        store.find_model("bmshj2018-factorized", "theirs")
    assert "'theirs'" in str(error.value)
    assert "mine" in str(error.value)
    assert str(tmp_path / "models") in str(error.value)


def test_a_missing_model_is_told_by_its_hash_and_where_it_was_looked_for(fresh):
    with pytest.raises(UnknownModelError) as error:
        store.model_of(bytes(range(32)), "lost-model")
    message = str(error.value)
    assert "lost-model" in message
    assert bytes(range(32)).hex() in message
    assert str(store.SHIPPED) in message
    assert "WSICOMP_MODELS" in message


def test_a_model_is_found_by_its_digest_among_damaged_ones(fresh, tmp_path, monkeypatch, factorized):
    (tmp_path / "a.safetensors").write_bytes(b"damaged")
    (tmp_path / "b.safetensors").write_bytes(factorized.to_bytes()[:-50])
    (tmp_path / "c.safetensors").write_bytes(factorized.to_bytes())
    monkeypatch.setenv("WSICOMP_MODELS", str(tmp_path))
    assert store.model_of(factorized.key).digest == factorized.digest


def test_a_file_that_claims_another_model_s_digest_is_not_taken_for_it(
    fresh, tmp_path, monkeypatch, factorized
):
    other = create_model(replace(factorized.card, steps=(2.0,)), factorized.tensors)
    forged = other.to_bytes().replace(other.digest.encode(), factorized.digest.encode())
    (tmp_path / "forged.safetensors").write_bytes(forged)
    monkeypatch.setenv("WSICOMP_MODELS", str(tmp_path))
    with pytest.raises(UnknownModelError):
        store.model_of(factorized.key)


def test_a_whole_model_takes_the_place_of_a_decoder_alone(fresh, factorized):
    assert not store.embed(factorized.decoder().to_bytes(), factorized.digest).can_encode
    assert not store.model_of(factorized.key).can_encode
    store.remember(factorized)
    store.embed(factorized.decoder().to_bytes(), factorized.digest)
    assert store.model_of(factorized.key).can_encode


def other_encoder(found):
    """A model with the same digest, and another encoder and card."""
    zeros = {
        name: np.zeros_like(tensor) if name.startswith("g_a.") else tensor
        for name, tensor in found.tensors.items()
    }
    return create_model(replace(found.card, name="another"), zeros)


def test_what_a_slide_carries_is_never_encoded_with(fresh, factorized, file):
    theirs = other_encoder(factorized)
    assert theirs.digest == factorized.digest
    store.embed(theirs.to_bytes(), theirs.digest)
    own = store.find_model("bmshj2018-factorized", str(file))
    assert own.card == factorized.card
    assert own.encoder_digest == factorized.encoder_digest


def test_of_two_encoders_of_one_decoder_the_one_that_is_named_is_taken(fresh, file, factorized, tmp_path):
    path = tmp_path / "another.safetensors"
    path.write_bytes(other_encoder(factorized).to_bytes())
    tile = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    lax = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}
    first, second, again = (
        create_codec("bmshj2018-factorized", {"model": str(name), **lax}) for name in (file, path, file)
    )
    assert first.payloads([tile]) == again.payloads([tile]) != second.payloads([tile])
    assert first.describe()["sha256"] == second.describe()["sha256"]
    assert first.describe()["encoder_sha256"] != second.describe()["encoder_sha256"]


def test_a_name_with_a_dot_is_a_name_too(fresh, tmp_path, monkeypatch, factorized):
    (tmp_path / "mine.v2.safetensors").write_bytes(factorized.to_bytes())
    monkeypatch.setenv("WSICOMP_MODELS", str(tmp_path))
    assert store.find_model("bmshj2018-factorized", "mine.v2").digest == factorized.digest


def test_another_model_whose_digest_begins_alike_is_not_taken(fresh, factorized):
    store.remember(factorized)
    with pytest.raises(UnknownModelError):
        store.model_of(factorized.key + bytes(24))


def test_a_decoder_alone_is_refused_to_encode_with(fresh, factorized, tmp_path):
    path = tmp_path / "half.safetensors"
    path.write_bytes(factorized.decoder().to_bytes())
    with pytest.raises(ConfigError, match="has no encoder"):
        create_codec("bmshj2018-factorized", {"model": str(path)})


def test_a_model_of_another_codec_is_refused(fresh, file):
    with pytest.raises(ConfigError, match="is for codec bmshj2018-factorized"):
        create_codec("mbt2018-mean", {"model": str(file)})


def test_a_name_of_another_codec_is_not_fetched(fresh):
    with pytest.raises(ConfigError, match="not for codec bmshj2018-factorized"):
        store.find_model("bmshj2018-factorized", "mbt2018-mean-mse-7")


def test_a_codec_without_a_model_of_its_own_says_what_to_name(fresh):
    with pytest.raises(ConfigError, match="mbt2018-mean-mse-7"):
        create_codec("mbt2018-mean")
    with pytest.raises(ConfigError, match="a file"):
        create_codec("elic2022-chandelier")


@pytest.mark.parametrize(
    "architecture", ["bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier"]
)
def test_a_checkpoint_of_compressai_becomes_a_model(fresh, architecture, tmp_path):
    net = network(architecture)
    net.update(force=True)
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({"state_dict": net.state_dict()}, path)
    found = store.find_model(architecture, str(path))
    assert found.card.architecture == architecture
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    with torch.inference_mode():
        latents = net.g_a(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
        decoded = (net.g_s(latents).clamp(0, 1) * 255).round().permute(0, 2, 3, 1)
    built, latents = build_network(found, "cpu"), latents.numpy()
    off = np.abs(built.analyse(pixels) - latents).max()
    assert off < 0.02 * np.abs(latents).max()  # an encoder may work in half precision
    assert np.abs(built.synthesise(latents) - decoded.numpy()).max() <= 1


def test_a_checkpoint_of_parameters_is_one_of_tensors(fresh, tmp_path):
    net = network("mbt2018-mean")
    net.update(force=True)
    path = tmp_path / "parameters.pth"
    torch.save(dict(net.state_dict()) | dict(net.named_parameters()), path)
    assert store.find_model("mbt2018-mean", str(path)).card.name == "parameters"


@pytest.mark.parametrize("architecture", ["bmshj2018-factorized", "mbt2018-mean"])
def test_a_checkpoint_that_claims_to_be_huge_is_refused(fresh, tmp_path, architecture):
    net = network(architecture)
    net.update(force=True)
    path = tmp_path / "huge.pth"
    torch.save(net.state_dict() | {"g_a.0.bias": torch.zeros(1).expand(100_000, 100_000)}, path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(WeightsError, match="bytes, expected at most"):
        store.find_model(architecture, str(path))


def test_a_checkpoint_without_tables_says_what_to_do(fresh, tmp_path):
    path = tmp_path / "raw.pth"
    torch.save(network("bmshj2018-factorized").state_dict(), path)
    with pytest.raises(WeightsError, match="update"):
        store.find_model("bmshj2018-factorized", str(path))


def served(monkeypatch, tmp_path, data, name="mbt2018-mean-7-{hash}.pth.tar"):
    """CompressAI's addresses, in a folder of this machine."""
    import hashlib

    from compressai.zoo import image

    file = tmp_path / name.format(hash=hashlib.sha256(data).hexdigest()[:8])
    file.write_bytes(data)
    monkeypatch.setitem(image.model_urls["mbt2018-mean"]["mse"], 7, file.as_uri())
    return file


def checkpoint(architecture="mbt2018-mean"):
    import io

    net = network(architecture)
    net.update(force=True)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    return buffer.getvalue()


def test_a_pretrained_network_is_fetched_once_and_kept(fresh, monkeypatch, tmp_path, capsys):
    file = served(monkeypatch, tmp_path, checkpoint())
    found = store.find_model("mbt2018-mean", "mbt2018-mean-mse-7")
    assert not capsys.readouterr().out, "a report may go there"
    file.unlink()
    assert store.find_model("mbt2018-mean", "mbt2018-mean-mse-7").digest == found.digest
    assert "CompressAI" in found.card.quality


def test_what_does_not_have_the_hash_in_its_name_is_refused(fresh, monkeypatch, tmp_path):
    served(monkeypatch, tmp_path, checkpoint(), "mbt2018-mean-7-00000000.pth.tar")
    with pytest.raises(WeightsError, match="sent another file"):
        store.find_model("mbt2018-mean", "mbt2018-mean-mse-7")
    assert not store.kept_folder().exists()


def test_without_a_network_the_error_says_what_to_fetch_where(fresh, monkeypatch, tmp_path):
    served(monkeypatch, tmp_path, checkpoint()).unlink()
    with pytest.raises(UnknownModelError, match="cannot be fetched") as error:
        store.find_model("mbt2018-mean", "mbt2018-mean-mse-7")
    assert "with `model`" in str(error.value)
    assert "mbt2018-mean-7-" in str(error.value)


def test_the_card_is_on_one_page():
    card = ModelCard("n", "a", {}, (1.0,), 0, "q", "t", "l", "s")
    assert card.to_json()["format"]
