"""The files that a slide's index names, and which of them are not there."""

from wsicomp.formats.named_files import missing_files

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
