"""Text from files and names does nothing where it is shown: terminal, log, page, Markdown, spreadsheet."""

import csv
import io
import json
import logging

import pytest

from tests import tiffs
from tests.batch import trees
from tests.drawn import hostile
from wsicomp.batch import read_report, write_csv, write_html
from wsicomp.batch.monitoring import open_log
from wsicomp.cli import main
from wsicomp.comparison.results import Comparison, SlideComparison
from wsicomp.comparison.tables import markdown, write_csvs
from wsicomp.errors import WsicompError
from wsicomp.text.escaping import markdown_text, printable, printable_lines, quoted, spreadsheet_cell
from wsicomp.text.html import rendered
from wsicomp.training.run_folder import write_table

COMPUTED = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def is_harmless(text):
    """Whether every line of a text is print alone."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("text", [*hostile.NAMES.values(), "\x9b31m", "a\u2028b", "\udcff", "\ufeff", "\x00"])
def test_a_terminal_gets_print_alone_and_on_one_line(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert is_harmless(printable_lines(f"{text}\n{text}"))
    assert printable("Präparat 切片 (1).svs") == "Präparat 切片 (1).svs"


@pytest.mark.parametrize("start", COMPUTED)
def test_a_spreadsheet_computes_no_cell(start):
    assert spreadsheet_cell(f"{start}1+1").startswith("'")
    assert spreadsheet_cell(f"  {start}1+1").startswith("'")
    assert spreadsheet_cell("a=1") == "a=1"


@pytest.mark.parametrize("number", [-1, -0.5, 7, True, None])
def test_numbers_stay_numbers_in_a_spreadsheet(number):
    assert spreadsheet_cell(number) is number


def test_markdown_has_no_marks_but_our_own():
    assert markdown_text("a|b`c*d_e[f](g)<h>#~\\") == r"a\|b\`c\*d\_e\[f\](g)\<h\>\#\~\\"
    assert "\n" not in markdown_text("a\n# b")


def test_a_page_has_no_tags_but_its_own():
    picture = {"file": "a<b>.jpg", "caption": "<b title='x'>\x1b\u202e\"&"}
    values = {"means": [], "chart": "", "scores": (["name"], []), "costs": (["name"], [])}
    page = rendered("wsicomp.training.tissue", "report.html.j2", {}, slides=[[picture]], **values)
    assert r"<figcaption>&lt;b title=&#39;x&#39;&gt;\x1b\u202e&#34;&amp;</figcaption>" in page
    assert 'src="a%3Cb%3E.jpg"' in page
    assert is_harmless(page)


def test_a_value_of_any_kind_is_quoted_briefly():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert quoted(deep) == "a list too large to be shown"
    assert quoted(10**5000) == "a int too large to be shown"
    assert len(quoted("x" * 10_000)) < 120
    assert quoted("a") == "'a'"


def test_a_page_shows_what_no_template_escapes(tmp_path):
    page = rendered("wsicomp.batch", "report.html.j2", {"count": str}, **_report_values(tmp_path))
    assert is_harmless(page)


def _report_values(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.svs").write_bytes(b"no slide")
    trees.run(tmp_path / "source", tmp_path / "target")
    report = read_report(tmp_path / "target")
    object.__setattr__(report, "target", "\x1b[31m\u202e")
    return {"report": report, "looks": {}, "pictures": [], "more": 0, "listed": 1}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A batch of slides with hostile names, half of which fail with an error that quotes them."""
    folder = tmp_path_factory.mktemp("night")
    source = folder / "source"
    trees.write_slide(folder / "good.svs")
    hostile.write_named(source, folder / "good.svs")
    for name in list(hostile.NAMES.values())[::2]:
        (source / name).write_bytes(b"no slide")
    trees.run(source, folder / "target")
    return folder


def test_the_log_of_a_batch_has_a_line_an_event(night):
    text = (night / "target/.wsicomp/batch.log").read_text()
    assert is_harmless(text)
    assert all(line[:2] == "20" for line in text.splitlines())


def test_a_log_is_one_line_an_event_whatever_is_told(tmp_path):
    with open_log(tmp_path) as log:
        log.warning("%s: %s", "a\n2026-01-01 INFO all is well", "\x1b[2J")
        log.log(logging.ERROR, "b")
    text = (tmp_path / "batch.log").read_text()
    assert is_harmless(text)
    assert text.count("\n") == 2


def test_the_table_of_a_batch_computes_nothing(night):
    write_csv(night / "target", night / "report.csv")
    with (night / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(hostile.NAMES)
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(COMPUTED) and not _is_number(cell)]
    assert "'=cmd|' C calc'!A0.svs" in {row["source"] for row in rows}


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_the_page_of_a_batch_obeys_nothing(night):
    write_html(night / "target", night / "report.html")
    page = (night / "report.html").read_text()
    assert is_harmless(page)
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    "command", [["status"], ["report"], ["accept"], ["report", "--json", "-"], ["status", "--json"]]
)
def test_what_a_batch_says_obeys_nothing(command, night, capsys):
    assert main(["batch", command[0], str(night / "target"), *command[1:]]) == 0
    out, err = capsys.readouterr()
    assert is_harmless(out + err)


def test_a_run_of_a_batch_says_nothing_that_a_terminal_obeys(night, capsys):
    command = ["batch", str(night / "source"), str(night / "again"), "--min-free", "0", "--dry-run"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert is_harmless(out + err)
    assert "rename" not in err


def test_what_a_slide_says_of_itself_obeys_nothing(tmp_path, capsys):
    text = tiffs.DESCRIPTION.format(200, 150) + "|Title = \x1b[31m\x07|\x9b = \x1b|OffsetZ = \x1b"
    tiffs.write_tiff(tmp_path / "a.svs", description=text.encode("latin-1"))
    for command in (["info"], ["verify"]):
        main([*command, str(tmp_path / "a.svs")])
    main(["convert", str(tmp_path / "a.svs"), str(tmp_path / "b.svs"), "--deidentify", "--glass", "keep"])
    main(["info", str(tmp_path / "b.svs"), "--json"])
    out, err = capsys.readouterr()
    assert is_harmless(out + err)


def test_what_a_conversion_says_of_its_model_and_notes_obeys_nothing(tmp_path, capsys):
    tiffs.write_tiff(tmp_path / "a.svs")
    main(["convert", str(tmp_path / "a.svs"), str(tmp_path / "b.svs"), "--codec", "jpeg", "--glass", "keep"])

    def change(values):
        values["plan"]["software"] = "\x1b[31mwsicomp\nall is well"
        values["plan"]["notes"] = ["\x1b]0;x\x07"]
        values["plan"]["source"]["sha256"] = "\u202e\n"
        values["properties"]["openslide.vendor"] = "\x1b[0m"

    hostile.forge(tmp_path / "b.svs", change)
    for command in (["info"], ["info", "--json"], ["verify"]):
        main([*command, str(tmp_path / "b.svs")])
    out, err = capsys.readouterr()
    assert is_harmless(out + err)
    assert "\nall is well" not in out


def test_a_mistake_on_the_command_line_is_quoted_harmlessly(capsys):
    assert main(["info", "a.svs", "\x1b[31m\n.svs"]) == 1
    for arguments in (["\x1b[31m\n"], ["info", "--\x1b"]):
        assert main(arguments) == 2
    assert is_harmless(capsys.readouterr().err)


def test_a_terminal_of_few_letters_shows_the_others_as_escapes(tmp_path, monkeypatch):
    tiffs.write_tiff(tmp_path / "切片.svs")
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    assert main(["info", str(tmp_path / "切片.svs")]) == 0
    assert rb"\u5207\u7247.svs" in stream.buffer.getvalue()


def _comparison():
    name = "=cmd|' C calc'!A0\x1b[31m|<b>*x*"
    slide = SlideComparison(slide=name, error=f"{name}: broken\n# bad")
    return Comparison("wsicomp", "now", f"wsicomp compare {name}\n", 20, 1, (slide,))


def test_the_markdown_of_a_comparison_has_no_marks_but_its_own():
    text = markdown(_comparison())
    assert is_harmless(text)
    in_words = [line for line in text.splitlines() if not line.startswith("    ")]  # else it is code
    assert "<b>" not in "\n".join(in_words)
    assert "\n# bad" not in text
    assert r"\|\<b\>\*x\*" in text


def test_the_tables_of_a_comparison_compute_nothing(tmp_path):
    for path in write_csvs(_comparison(), tmp_path):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(COMPUTED) and not _is_number(cell)]


def test_a_table_of_training_computes_nothing_and_keeps_its_columns(tmp_path):
    write_table(tmp_path / "a.csv", [{"name": "=1+1,2", "figure": 1.5}])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "figure"], ["'=1+1,2", "1.5"]]


def test_an_error_is_one_line_whatever_it_quotes():
    assert is_harmless(str(WsicompError("\x1b[31m\n\x07", "\u202e.svs", "a\nb")))
    assert json.dumps(str(WsicompError("x", "\udcff"))) == '"\\\\xff: x"'
