"""Takes from DICOM headers what could name the patient, by the basic profile of PS3.15 annex E.

The table of attributes and what becomes of each are those of the library dicom-anonymizer; it looks at the
outermost data set alone, so this module leads it into sequences. Names of people and dates that the table
does not list are removed too. Voxels are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from wsicomp.errors import ConfigError
from wsicomp.extras import require
from wsicomp.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

_TABLE = "dicomfields_2026c"
_OVERLAYS, _CURVES = range(0x6000, 0x6100), range(0x5000, 0x5100)
_KEPT_META = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
_NAMES_AND_DATES = frozenset({"PN", "DA", "DT", "TM"})
_BIRTH_AND_DEATH = frozenset({(0x0010, 0x0033), (0x0010, 0x0034)})
"""The patient's dates in an alternative calendar, which are text."""
_BURNED_IN = "a header says that text is burned into the voxels; blank it there first, then de-identify"
VOXEL_NOTE = "headers are de-identified; text in the voxels and faces that can be drawn from them are not"

_Action = Callable[[Any, tuple[int, int]], None]


def check_burned_in(headers: Iterable[Dataset]) -> None:
    """Refuse headers which say that the voxels themselves name the patient, as screenshots do.

    Raises:
        ConfigError: a header says so.
        MissingExtraError: the library is not installed.
    """
    require("volumes", "dicomanonymizer")
    if any(str(header.get("BurnedInAnnotation", "")).upper() == "YES" for header in headers):
        raise ConfigError(_BURNED_IN)


def deidentify_header(header: Dataset) -> None:
    """Remove or replace in place what the basic profile names, private elements, overlays and curves.

    UIDs are replaced by random ones, the same for the same all over this process; names in file meta
    information and what stands in front of it are removed.
    """
    from pydicom import Dataset
    from pydicom.sequence import Sequence

    for tag in [tag for tag in header if tag.tag.group in _OVERLAYS or tag.tag.group in _CURVES]:
        del header[tag.tag]
    _clean(header)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = f"PS3.15 basic profile, {_TABLE}, wsicomp {__version__}"
    header.DeidentificationMethodCodeSequence = Sequence([code])
    header.LongitudinalTemporalInformationModified = "REMOVED"
    meta = header.file_meta
    for element in list(meta):
        if element.keyword not in _KEPT_META:
            del meta[element.tag]
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.preamble = b"\0" * 128


def _clean(dataset: Any) -> None:
    """Apply the profile to a data set and to what its sequences hold."""
    exact, ranges = _rules()
    for tag in list(dataset.keys()):
        place = (tag.group, tag.element)
        if tag.is_private:
            del dataset[tag]
            continue
        action = exact.get(place) or next(
            (
                each
                for (group, element, group_mask, element_mask), each in ranges
                if place[0] & group_mask == group & group_mask
                and place[1] & element_mask == element & element_mask
            ),
            None,
        )
        if action is not None:
            try:
                action(dataset, place)
            except NotImplementedError:  # a form of value for which the library has no dummy
                del dataset[tag]
        elif _is_name_or_date(dataset[tag]):
            del dataset[tag]
        if tag in dataset and dataset[tag].VR == "SQ":
            for item in dataset[tag].value:
                _clean(item)


def _is_name_or_date(element: Any) -> bool:
    """Return whether an element is one by its own VR, by the dictionary's, or by its tag."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    listed = dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else ""
    is_date_in_text = (element.tag.group, element.tag.element) in _BIRTH_AND_DEATH
    return is_date_in_text or not _NAMES_AND_DATES.isdisjoint((element.VR, listed))


@cache
def _rules() -> tuple[Mapping[tuple[int, ...], _Action], list[tuple[tuple[int, ...], _Action]]]:
    """Return the actions of single attributes, and those of ranges of them.

    References to other images are deleted: emptied, as the library does, they are not valid.
    """
    from dicomanonymizer import simpledicomanonymizer as library

    rules: dict[tuple[int, ...], _Action] = dict(library.initialize_actions(_TABLE))
    for place, action in rules.items():
        if action is library.delete_or_empty_or_replace_UID:
            rules[place] = library.delete
    exact: dict[tuple[int, ...], _Action] = {
        place: action for place, action in rules.items() if len(place) == 2
    }
    return exact, [(place, action) for place, action in rules.items() if len(place) == 4]
