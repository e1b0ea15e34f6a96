import pytest

from wsicomp.formats.tiff import aperio
from wsicomp.geometry import Mpp, Size

TEXT = (
    "Aperio Image Library v11.2.1 \r\n46000x32914 [42673,5576 2220x2967] (240x240) JPEG/RGB Q=30;"
    "Aperio Image Library v10.0.51\r\n46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30"
    "|AppMag = 20|ScanScope ID = CPAPERIOCS|Filename = DOE^JANE|Date = 12/29/09|MPP = 0.4990|User = jane"
)


def test_fields_scale_and_power_are_read():
    fields = aperio.parse_fields(TEXT)
    assert fields["ScanScope ID"] == "CPAPERIOCS"
    assert aperio.mpp(fields) == Mpp(0.499, 0.499)
    assert aperio.objective_power(fields) == 20.0


@pytest.mark.parametrize("value", ["", "0", "-1", "nan", "inf", "about 0.5"])
def test_a_scale_that_is_no_positive_number_is_not_stated(value):
    assert aperio.mpp({"MPP": value}) is None


def test_a_new_history_entry_stands_in_front_and_loses_nothing():
    level = aperio.LevelText(Size(2220, 2967), Size(240, 240), "copy glass=white")
    text = aperio.level_description(Size(2220, 2967), level, TEXT)
    assert text.startswith("Aperio Image Library (wsicomp ")
    assert text.endswith(";" + TEXT)
    assert aperio.parse_fields(text) == aperio.parse_fields(TEXT)


def test_a_lower_level_says_what_it_was_reduced_from():
    level = aperio.LevelText(Size(555, 741), Size(240, 240), "copy glass=white")
    assert "[0,0 2220x2967] (240x240) -> 555x741 copy" in aperio.level_description(
        Size(2220, 2967), level, ""
    )


def test_deidentified_text_keeps_optics_and_names_what_it_dropped():
    text, dropped = aperio.deidentify(TEXT)
    assert aperio.parse_fields(text) == {"AppMag": "20", "MPP": "0.4990"}
    assert dropped == ("ScanScope ID", "Filename", "Date", "User")
    assert "DOE" not in text
    assert text.startswith("Aperio Image Library v11.2.1\r\n46000x32914 [42673,5576 2220x2967]")


def test_names_hidden_in_the_history_or_without_a_key_are_dropped():
    text, dropped = aperio.deidentify(
        "Aperio Image Library v1.2\r\nDoe, Jane\r\n10x10 JPEG/RGB Q=3|Jane Doe|MPP = 1"
    )
    assert "Jane" not in text
    assert dropped == ("history text", "unknown field")


@pytest.mark.parametrize("piece", ["|", "|a = b", "|MPP = 0.5"])
def test_what_stands_behind_ten_thousand_fields_goes_with_the_names(piece):
    text, dropped = aperio.deidentify(TEXT + piece * 20_000)
    assert text.count("|") < 10_000
    assert "unknown field" in dropped
    assert aperio.parse_fields(text)["AppMag"] == "20"


@pytest.mark.parametrize("piece", [";", "\n", "\r\n"])
def test_a_history_of_many_empty_lines_goes_with_the_names(piece):
    head, _, fields = TEXT.partition("|")
    text, dropped = aperio.deidentify(head + piece * 1_000_000 + "|" + fields)
    assert len(text) < 300_000
    assert "history text" in dropped
    assert aperio.mpp(aperio.parse_fields(text)) == Mpp(0.499, 0.499)


def test_a_text_as_slides_have_it_is_not_shortened():
    assert aperio.limited_description(TEXT) == TEXT


@pytest.mark.parametrize(
    "text", [f"{TEXT}{'|a = b' * 20_000}", TEXT.replace("|", "|" + "x" * 2_000_000 + "|", 1)]
)
def test_a_shortened_text_keeps_scale_and_power(text):
    short = aperio.limited_description(text)
    fields = aperio.parse_fields(short)
    assert len(short) < 1_100_000
    assert short.count("|") <= 10_001
    assert aperio.mpp(fields) == Mpp(0.499, 0.499)
    assert aperio.objective_power(fields) == 20.0


def test_deidentifying_our_own_text_drops_nothing():
    level = aperio.LevelText(Size(20, 30), Size(240, 240), "JPEG/YCC Q=90 glass=white")
    text = aperio.level_description(
        Size(20, 30), level, "Aperio Image Library v1.2\r\n20x30 (16x16) J2K/KDU Q=70"
    )
    assert aperio.deidentify(text) == (text, ())


def test_of_scale_and_power_as_many_digits_stay_as_state_them():
    fields = "| MPP = 0.499019500101|AppMag =20.19500101 "
    text = f"Aperio Image Library v12.0\r\n\r\n\r\n9x9 (256x256) JPEG/RGB Q=90{fields}"
    kept, _ = aperio.deidentify(text)
    assert kept == "Aperio Image Library v12.0\r\n9x9 (256x256) JPEG/RGB Q=90|MPP = 0.49902|AppMag = 20.195"


@pytest.mark.parametrize(
    ("description", "subfile_type", "position", "name"),
    [
        ("Aperio Image Library v11\nlabel 387x463", 0, 2, "label"),
        ("Aperio Image Library v11\r\nmacro 1280x431", 0, 3, "macro"),
        ("", 1, 2, "label"),
        ("", 9, 2, "macro"),
        ("Aperio Image Library v11\n2220x2967 -> 574x768 - ", 0, 1, "thumbnail"),
        ("wsicomp\r\nthumbnail 574x768", 0, 4, "thumbnail"),
        ("something else", 0, 4, None),
    ],
)
def test_images_that_are_not_tiled_are_known_by_type_text_or_place(description, subfile_type, position, name):
    assert aperio.associated_name(description, subfile_type, position) == name


def test_a_slide_of_another_vendor_gets_the_fields_that_openslide_reads():
    fields = aperio.parse_fields(aperio.technical_fields(Mpp(0.25, 0.25), 40.0))
    assert fields == {"AppMag": "40", "MPP": "0.25"}
    assert aperio.technical_fields(None, None) == ""
