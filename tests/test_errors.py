import pickle

import pytest

import wsicomp
from wsicomp import errors


def leaves(root):
    yield root
    for child in root.__subclasses__():
        if not child.__name__.startswith("_"):  # what one module says to itself
            yield from leaves(child)


def test_every_error_is_drawn_in_the_module_docstring():
    for error in leaves(errors.WsicompError):
        assert error.__name__ in errors.__doc__


def test_every_error_is_public():
    for error in leaves(errors.WsicompError):
        assert getattr(wsicomp, error.__name__) is error


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.MaskError, ValueError),
        (errors.SlideReadError, OSError),
        (errors.SlideWriteError, OSError),
        (errors.UnknownCodecError, LookupError),
        (errors.CodecUnavailableError, ImportError),
    ],
)
def test_an_error_is_also_what_a_caller_would_expect(error, builtin):
    assert issubclass(error, builtin)


def test_a_message_names_file_place_and_fact_in_one_line():
    error = errors.TileReadError("damaged\n tile", "a b.svs", "level 2 tile (14, 3)")
    assert str(error) == "a b.svs: level 2 tile (14, 3): damaged tile"
    assert (error.path, error.place) == ("a b.svs", "level 2 tile (14, 3)")


def test_an_error_survives_the_way_from_another_process():
    error = pickle.loads(pickle.dumps(errors.SlideReadError("cut off", "x.svs", "level 1")))
    assert str(error) == "x.svs: level 1: cut off"
    assert isinstance(error, errors.SlideReadError)
