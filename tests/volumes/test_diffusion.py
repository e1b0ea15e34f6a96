"""Diffusion: what loops and SimpleITK make of the same voxels, and not one voxel changed inside."""

import itertools
import tracemalloc

import numpy as np
import pytest
import SimpleITK
from skimage.metrics import structural_similarity

from tests.volumes.held import HeldVolume
from wsicomp.errors import ConfigError
from wsicomp.volumes.diffusion import DiffusionConfig, diffused, typical_difference
from wsicomp.volumes.phantom import drawn_volume


def made(volume, probabilities, config=None):
    return np.stack(list(diffused(volume, probabilities, config))).reshape(volume.voxels.shape)


def by_loops(values, openness, edge, iterations, along=(1.0, 1.0, 1.0)):
    """One voxel after the other, six neighbours each: nothing in common with what is tested."""
    for _ in range(iterations):
        after = values.copy()
        for place in itertools.product(*map(range, values.shape)):
            for axis, step in itertools.product(range(3), (-1, 1)):
                other = list(place)
                other[axis] += step
                if not 0 <= other[axis] < values.shape[axis]:
                    continue
                d = values[tuple(other)] - values[place]
                open_ = min(openness[tuple(other)], openness[place])
                after[place] += along[2 - axis] * open_ * np.exp(-((d / edge) ** 2)) * d / 7
        values = after
    return values


def psnr(a, b):
    return 10 * np.log10(65535**2 / np.mean((a.astype(float) - b) ** 2))


def entropy(voxels):
    _, counts = np.unique(voxels, return_counts=True)
    share = counts / counts.sum()
    return -(share * np.log2(share)).sum()


@pytest.mark.parametrize("by_spacing", [False, True])
def test_it_is_what_plain_loops_make(by_spacing):
    rng = np.random.default_rng(1)
    voxels = rng.normal(100, 10, (6, 5, 7))
    probability = rng.uniform(0, 1, voxels.shape)
    volume = HeldVolume(voxels, (1.0, 1.0, 2.0))
    config = DiffusionConfig(iterations=4, by_spacing=by_spacing)
    openness = np.where(probability > 0.75, 0, 1 - probability)
    edge = 0.4 * np.sqrt(np.mean(np.concatenate([np.diff(voxels, axis=k).ravel() ** 2 for k in range(3)])))
    expected = by_loops(voxels, openness, edge, 4, (1, 1, 0.25) if by_spacing else (1, 1, 1))
    np.testing.assert_allclose(made(volume, probability, config), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "int64", "uint64", "float32", "float64"]
)
def test_inside_not_one_voxel_changes_and_outside_most_do(dtype):
    drawn = drawn_volume(1, (5, 48, 48), "MR", dtype)
    inside = drawn.labels > 2
    result = made(HeldVolume(drawn.voxels), inside)
    assert result.dtype == drawn.voxels.dtype
    assert result[inside].tobytes() == drawn.voxels[inside].tobytes()
    assert (result != drawn.voxels)[~inside].mean() > 0.2


def test_a_probability_just_over_the_threshold_is_inside_and_just_below_is_not():
    rng = np.random.default_rng(2)
    voxels = rng.normal(1000, 30, (4, 12, 12)).astype(np.int16)
    probability = np.where(np.arange(12) < 6, np.nextafter(0.75, 1), 0.7499)[None, None] * np.ones(
        voxels.shape
    )
    changed = made(HeldVolume(voxels), probability) != voxels
    assert not changed[..., :6].any()
    assert changed[..., 6:].mean() > 0.3


def test_extreme_voxels_and_those_that_are_not_finite_stay_as_they_are():
    voxels = np.full((3, 6, 6), np.iinfo(np.int64).max)
    np.testing.assert_array_equal(made(HeldVolume(voxels), np.ones(voxels.shape, bool)), voxels)
    assert (made(HeldVolume(voxels), np.zeros(voxels.shape)) > 0).all()
    floats = np.random.default_rng(1).normal(size=(3, 8, 8)).astype(np.float32)
    floats[1, 2, 3], floats[2, 2, 2], floats[0, 0, 0] = np.nan, np.inf, -np.inf
    result = made(HeldVolume(floats), np.zeros(floats.shape))
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(floats))
    np.testing.assert_array_equal(result[~np.isfinite(floats)], floats[~np.isfinite(floats)])


def test_a_volume_of_one_value_stays_as_it_is():
    voxels = np.full((3, 4, 5), 7, np.int16)
    np.testing.assert_array_equal(made(HeldVolume(voxels), np.zeros(voxels.shape)), voxels)
    assert typical_difference(HeldVolume(voxels[:1, :1, :1])) == 0


def test_every_time_of_four_dimensions_is_diffused_by_itself():
    voxels = np.stack([drawn_volume(seed, (4, 24, 24), "MR", "float64").voxels for seed in (1, 2)])
    volume = HeldVolume(voxels)
    together = made(volume, np.zeros((8, 24, 24)))
    edge = 0.4 * typical_difference(volume)
    expected = by_loops(voxels[1, :, :6, :6].copy(), np.ones((4, 6, 6)), edge, 2)
    result = made(volume, np.zeros((8, 24, 24)), DiffusionConfig(iterations=2))
    np.testing.assert_allclose(result[1, :, :4, :4], expected[:, :4, :4], rtol=1e-9)
    assert together.shape == voxels.shape


def test_memory_is_two_slices_of_floats_an_iteration():
    voxels = np.random.default_rng(1).normal(100, 30, (24, 96, 96)).astype(np.int16)
    volume, inside = HeldVolume(voxels), np.zeros(voxels.shape, bool)
    tracemalloc.start()
    for _ in diffused(volume, inside):
        pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most / voxels[0].size < 15 * (4 * 4) + 80  # iterations, float32: values, gains, openness, source


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_noise_goes_and_edges_stay_as_in_the_paper(modality):
    drawn = drawn_volume(2, (8, 128, 128), modality)
    organ = drawn.labels == (6 if modality == "CT" else 5)
    result = made(HeldVolume(drawn.voxels), organ)
    assert entropy(result) < entropy(drawn.voxels) - 0.2
    assert psnr(drawn.voxels, result) > 70
    span = float(np.ptp(drawn.voxels))
    similar = [
        structural_similarity(a.astype(float), b.astype(float), data_range=span)
        for a, b in zip(drawn.voxels, result, strict=True)
    ]
    assert np.mean(similar) > 0.95


def test_it_smooths_the_way_simpleitk_does():
    voxels = drawn_volume(2, (10, 64, 64), "MR").voxels
    ours = made(HeldVolume(voxels), np.zeros(voxels.shape))
    image = SimpleITK.GetImageFromArray(voxels.astype(np.float32))
    itk = SimpleITK.GradientAnisotropicDiffusion(image, 0.0625, 0.4, 1, 15)
    theirs = SimpleITK.GetArrayFromImage(itk)
    removed, removed_there = voxels - ours, voxels - theirs
    assert np.corrcoef(removed.ravel(), removed_there.ravel())[0, 1] > 0.7
    assert entropy(ours) < entropy(voxels)
    assert entropy(np.rint(theirs)) < entropy(voxels)


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        (np.zeros((2, 4, 5)), "slice 2: none, expected 5 x 4 voxels"),
        (np.zeros((3, 4, 4)), "slice 0: 4 x 4, expected 5 x 4 voxels"),
        (np.full((3, 4, 5), 1.5), "slice 0: not all are in"),
        (np.full((3, 4, 5), np.nan), "slice 0: not all are in"),
    ],
)
def test_probabilities_that_do_not_fit_are_refused(probabilities, words):
    with pytest.raises(ConfigError, match=words):
        made(HeldVolume(np.zeros((3, 4, 5), np.int16)), probabilities)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (DiffusionConfig(iterations=0), "0 iterations of diffusion, expected 1 to 100"),
        (DiffusionConfig(conductance=0.0), "a conductance of 0.0"),
        (DiffusionConfig(certain=2.0), "a probability of 2.0"),
        (DiffusionConfig(by_spacing=True), "diffusion by spacing needs the distance of voxels"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        made(HeldVolume(np.zeros((3, 4, 5), np.int16), None), np.zeros((3, 4, 5)), config)


def test_slices_stream_through_a_volume_of_any_length():
    class Endless(HeldVolume):
        given = 0

        def slices(self):
            for one in super().slices():
                self.given += 1
                yield one

    volume = Endless(np.random.default_rng(1).normal(size=(200, 8, 8)))
    stream = diffused(volume, iter(np.zeros((200, 8, 8))))
    next(stream)
    assert volume.given <= 200 + 16 + 1  # all of them once for their differences
