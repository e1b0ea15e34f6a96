"""Names in a packed slide lead nowhere but into the folder that the user names."""

import json
import zipfile

import pytest

from tests.drawn.jpegs import jpeg
from wsicomp import SlideReadError
from wsicomp.formats.packed.container import PackedSlide
from wsicomp.formats.packed.manifest import check_names
from wsicomp.formats.packed.pack import pack_slide


@pytest.mark.parametrize(
    "names",
    [
        ["/etc/passwd"],
        ["../up"],
        ["a/../../up"],
        ["a//b"],
        ["./a"],
        ["."],
        ["a/"],
        ["a\\x00b"],
        ["x" * 256],
        ["/".join("abcdefgh" * 8)],
        ["a", "a"],
        ["a/B", "A/b"],
        ["caf\u00e9", "cafe\u0301"],
        ["a", "a/b"],
        ["A/b", "a"],
    ],
)
def test_names_that_no_folder_may_get_are_refused(names):
    with pytest.raises(ValueError, match="file"):
        check_names(names)


def test_odd_names_that_a_folder_can_have_are_taken():
    check_names(["a b", "c/\u00e9.dat", "c/..d", "e\\x0af", "g\\\\h"], ["c"])


def forged(path, target, change):
    """Write a packed slide anew with another manifest."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "wsicomp.json":
                values = json.loads(data)
                change(values)
                data = json.dumps(values)
            new.writestr(name, data)
    return target


CHANGES = {
    "another name": lambda values: values["files"][0].update(name="../x"),
    "another size": lambda values: values["files"][0].update(bytes=values["files"][0]["bytes"] + 1),
    "a huge size": lambda values: values["files"][0].update(bytes=1 << 60),
    "a later version": lambda values: values.update(version=2),
    "no file that opens it": lambda values: values.update(opens="x"),
    "a mode of others": lambda values: values["files"][0].update(mode=0o4755),
    "no files": lambda values: values.update(files=[]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_forged_manifest_is_refused(change, tmp_path):
    source = tmp_path / "a.czi"
    source.write_bytes(jpeg())
    pack_slide(source, tmp_path / "a.wsipack")
    with PackedSlide(forged(tmp_path / "a.wsipack", tmp_path / "same.wsipack", lambda _: None)):
        pass
    with pytest.raises(SlideReadError):
        PackedSlide(forged(tmp_path / "a.wsipack", tmp_path / "b.wsipack", CHANGES[change]))


def test_a_zip_with_a_huge_directory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "many.wsipack"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            archive.writestr(str(number), b"")
    with pytest.raises(SlideReadError, match="a directory of"):
        PackedSlide(path)


def test_no_bit_of_manifest_or_index_can_flip_unnoticed(tmp_path):
    source, path = tmp_path / "a.czi", tmp_path / "a.wsipack"
    source.write_bytes(jpeg())
    pack_slide(source, path)
    sound = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entries = [archive.getinfo(name) for name in ("index.bin", "wsicomp.json")]
    for entry in entries:
        start = entry.header_offset + 30 + len(entry.filename)
        for place in range(start, start + entry.file_size, 9):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
            with pytest.raises(SlideReadError):
                PackedSlide(path)
