"""The files that a slide's index names, and which of them are not there."""

import os

import pytest

from wsicomp.formats.named_files import missing_files
from wsicomp.formats.slide_files import slide_parts

_SPACES = " " * 400_000


def mirax(folder, *lines, there=()):
    """An MRXS slide whose `Slidedat.ini` has these lines, and whose folder has these files."""
    (folder / "m").mkdir(parents=True)
    (folder / "m.mrxs").write_bytes(b"picture")
    (folder / "m/Slidedat.ini").write_bytes("\r\n".join(lines).encode())
    for name in there:
        (folder / "m" / name).write_bytes(b"data")
    return folder / "m.mrxs"


def test_lines_are_read_whatever_spaces_they_have(tmp_path):
    lines = ("[DATAFILE]", f"a{_SPACES}b", _SPACES, f" FILE_0 = Data0000.dat{_SPACES}", "FILE_1=Data0001.dat")
    path = mirax(tmp_path, *lines, "FILE_COUNT = 2", there=["Data0001.dat"])
    assert missing_files(path) == ("m/Data0000.dat",)


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_names_are_found_however_index_and_folder_encode_them(coding, tmp_path):
    path = mirax(tmp_path, there=["Data\u00e40.dat", "Data\u03081.dat", os.fsdecode(b"Dat\xe42.dat")])
    lines = "FILE_0=DATA\u00c40.dat\nFILE_1=Dat\u00e41.dat\nFILE_2=Dat\u00e42.dat\nFILE_3=Dat\u00e43.dat\n"
    (tmp_path / "m/Slidedat.ini").write_bytes(lines.encode(coding))
    assert missing_files(path) == ("m/Dat\u00e43.dat",)


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_an_index_has_its_files_however_it_encodes_their_names(coding, tmp_path):
    index = tmp_path / "a.vms"
    lines = "ImageFile=\u00e40.jpg\nMapFile=\u00e41.jpg\nMacroImage=\u00e42.jpg\nOptimisationFile=a.opt\n"
    index.write_bytes(lines.encode(coding))
    for name in ("\u00e40.jpg", "a\u03081.jpg"):
        (tmp_path / name).write_bytes(b"picture")
    assert missing_files(index) == ("\u00e42.jpg",)
    assert {part.name for part in slide_parts(index)} == {"a.vms", "\u00e40.jpg", "a\u03081.jpg"}
