"""What a killed run, a full disk or a raised error leaves: nothing under the names of targets."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import trial_size
from tests.drawn import scanner_slides
from tests.formats.packed.test_pack import same_tree
from wsicomp import SlideWriteError, TargetBusyError
from wsicomp.files.atomic import partial_path
from wsicomp.formats.packed import pack, unpack
from wsicomp.formats.packed.pack import pack_slide
from wsicomp.formats.packed.unpack import unpack_slide

PACK = (
    "from wsicomp.formats.packed.pack import pack_slide as do; print(flush=True); do({!r}, {!r}, workers=1)"
)
UNPACK = PACK.replace("pack import pack_slide", "unpack import unpack_slide")


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slide") / "in"
    folder.mkdir()
    return scanner_slides.mrxs(folder / "a.mrxs", 12, 8)


def killed(code, after_s):
    """Run a line of Python and kill it some time after it has imported everything."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.read(1)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.gate
def test_a_killed_run_leaves_no_target_and_the_next_one_is_not_disturbed(slide, tmp_path):
    generator, target, again = random.Random(0), tmp_path / "a.wsipack", tmp_path / "again"
    for _ in range(trial_size(2, 20)):
        killed(PACK.format(str(slide), str(target)), generator.uniform(0.02, 0.5))
        if target.exists():
            break
        assert [path.name for path in tmp_path.iterdir()] in ([], [partial_path(target).name])
    pack_slide(slide, target, overwrite=True)
    for _ in range(trial_size(2, 20)):
        killed(UNPACK.format(str(target), str(again)), generator.uniform(0.02, 0.2))
        visible = [path.name for path in again.iterdir() if path.name[0] != "."] if again.exists() else []
        if sorted(visible) == ["a", "a.mrxs"]:
            break
        assert visible == []
    if not visible:
        unpack_slide(target, again)
    assert same_tree(slide.parent, again)


def test_an_error_in_the_midst_leaves_nothing(slide, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "a.wsipack"
    with monkeypatch.context() as patch:
        patch.setattr(pack, "packed_units", full)
        with pytest.raises(SlideWriteError, match="No space left"):
            pack_slide(slide, target)
    assert not list(tmp_path.iterdir())
    pack_slide(slide, target)
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_give_folder", full)
        with pytest.raises(SlideWriteError, match="No space left"):
            unpack_slide(target, tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_two_runs_do_not_unpack_the_same_slide_at_once(slide, tmp_path):
    target, again = tmp_path / "a.wsipack", tmp_path / "again"
    pack_slide(slide, target)

    def second(_stage, done, total):
        if done == total:
            with pytest.raises(TargetBusyError, match="another run is writing it"):
                unpack_slide(target, again)

    unpack_slide(target, again, on_progress=second)
    assert same_tree(slide.parent, again)
