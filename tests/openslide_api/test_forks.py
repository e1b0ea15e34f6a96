"""A process that is forked while others read, as a data loader's worker is, reads on; so does a spawned."""

import multiprocessing
import multiprocessing.pool
import os
import signal
import threading
import time
from contextlib import closing

import numpy as np
import openslide
import pytest

import wsicomp
from wsicomp import ConversionConfig, TileCache
from wsicomp.concurrency.forks import ForkLock, fork_safe_property
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.tissue import independent_guard
from wsicomp.tissue.independent_guard import IndependentGuard

pytestmark = pytest.mark.gate

_LIMIT_S = 30
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forks")
    write_slide(
        folder / "source.svs", SyntheticSlide(Size(512, 300), seed=4), SyntheticFormat(downsamples=(1,))
    )
    packed = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep")
    wsicomp.convert_slide(folder / "source.svs", folder / "packed.tiff", packed)
    return folder


@pytest.fixture(scope="module")
def neural(folder):
    config = ConversionConfig.of(codec="bmshj2018-factorized", glass="keep", embed_model=True)
    wsicomp.convert_slide(folder / "source.svs", folder / "neural.tiff", config)
    return folder / "neural.tiff"


def whole(slide):
    return np.asarray(slide.read_region((0, 0), 0, slide.dimensions))


def in_child(work):
    """Whether a forked process does the work, in time."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(_LIMIT_S)
            code = 0 if work() else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return status == 0


def read_whole(path):
    """The sum of a slide's pixels, in another process."""
    with wsicomp.open_slide(path) as slide:
        return int(whole(slide).sum())


@needs_fork
def test_a_child_reads_though_a_thread_of_its_parent_held_the_cache(folder):
    with wsicomp.open_slide(folder / "packed.tiff") as slide:
        cache = TileCache()
        slide.set_cache(cache)
        expected = whole(slide)
        with cache._lock:
            assert in_child(lambda: np.array_equal(whole(slide), expected))
        assert cache.bytes > 0


@needs_fork
def test_a_child_begins_with_an_empty_cache(folder):
    with wsicomp.open_slide(folder / "packed.tiff") as slide:
        cache = TileCache()
        slide.set_cache(cache)
        whole(slide)
        assert in_child(lambda: cache.bytes == 0)


@needs_fork
def test_a_child_reads_neural_tiles_after_its_parent_did(neural):
    with wsicomp.open_slide(neural) as slide:
        expected = whole(slide)
        assert in_child(lambda: np.abs(whole(slide).astype(int) - expected).max() <= 1)


@needs_fork
def test_children_read_while_threads_of_their_parent_do(folder):
    with wsicomp.open_slide(folder / "packed.tiff") as slide:
        expected = whole(slide)
        ends = time.monotonic() + 1.5

        def busy():
            while time.monotonic() < ends:
                slide.set_cache(TileCache())
                whole(slide)

        with multiprocessing.pool.ThreadPool(2) as pool:
            waiting = [pool.apply_async(busy) for _ in range(2)]
            while time.monotonic() < ends:
                assert in_child(lambda: np.array_equal(whole(slide), expected))
            for one in waiting:
                one.get()


@pytest.mark.parametrize("way", ["fork", "spawn"])
@pytest.mark.parametrize("name", ["packed.tiff", "neural.tiff"])
def test_worker_processes_read_after_their_parent_did(folder, neural, name, way):
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {way} processes")
    expected = read_whole(folder / name)
    with multiprocessing.get_context(way).Pool(1) as pool:
        found = pool.apply_async(read_whole, [folder / name]).get(timeout=60)
    assert abs(found - expected) < 512 * 300 * 3


@needs_fork
def test_a_lock_is_free_in_a_child_and_its_owner_begins_anew():
    class Owner:
        renewed = 0

        def renew(self):
            self.renewed += 1

    owner = Owner()
    lock = ForkLock(owner)

    def taken():
        with lock:
            return owner.renewed == 1

    with lock:
        assert in_child(taken)
    assert owner.renewed == 0


@needs_fork
def test_a_property_that_a_thread_was_making_is_made_in_a_child():
    class Slow:
        @fork_safe_property
        def value(self):
            return 3

    if not hasattr(Slow.value, "lock"):
        pytest.skip("this Python's properties have no locks")
    with Slow.value.lock:
        assert in_child(lambda: Slow().value == 3)


@needs_fork
def test_a_fork_waits_until_no_thread_is_inside_openslide(folder, monkeypatch):
    slide, said, inside = wsicomp.open_slide(folder / "source.svs"), [], threading.Event()
    read = openslide.OpenSlide.read_region

    def slowly(self, *arguments):
        inside.set()
        time.sleep(0.5)
        said.append("read")
        return read(self, *arguments)

    with slide:
        monkeypatch.setattr(openslide.OpenSlide, "read_region", slowly)
        thread = threading.Thread(target=slide.read_region, args=((0, 0), 0, (9, 9)))
        thread.start()
        inside.wait()
        assert in_child(lambda: said == ["read"] and slide.read_region((0, 0), 0, (9, 9)))
        thread.join()
        slide.read_region((0, 0), 0, (9, 9))


@needs_fork
def test_a_child_verifies_though_a_thread_of_its_parent_reads_an_overview(folder, monkeypatch):
    is_reading, may_go_on = threading.Event(), threading.Event()
    real = independent_guard.read_overview

    def waiting(*arguments):
        is_reading.set()
        may_go_on.wait(_LIMIT_S)
        return real(*arguments)

    with closing(open_reader(folder / "source.svs")) as slide:
        monkeypatch.setattr(independent_guard, "read_overview", waiting)
        thread = threading.Thread(target=lambda: IndependentGuard(slide, 1).first)
        thread.start()
        assert is_reading.wait(_LIMIT_S)
        monkeypatch.setattr(independent_guard, "read_overview", real)
        try:
            assert in_child(lambda: IndependentGuard(slide, 1).first is not None)
        finally:
            may_go_on.set()
            thread.join()
