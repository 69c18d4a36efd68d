"""Text in another character set than the header declares: the bytes themselves decide where they can."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.charset import convert_encodings, python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

_TEXT = ("PN", "LO", "SH", "ST", "LT", "UT", "UC")
# defined terms of sets without code extensions (PS3.3 C.12.1.1.2); none stands for ISO_IR 6
_ONE_BYTE = ("", *(f"ISO_IR {number}" for number in (6, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166)))
_UTF_8 = "ISO_IR 192"
_NOTE = "_character_set_note"


def settle_character_set(dataset: Dataset) -> None:
    """Compare the declared character set with the bytes of the text, before any of it is decoded.

    Text with multi-byte characters of UTF-8 under a one-byte set is UTF-8: by chance that is hardly ever valid. The
    dataset then declares it. `character_set_note` tells what was found.
    """
    declared = _declared(dataset)
    texts = [raw for raw in _raw_texts(dataset) if any(byte > 127 for byte in raw)]  # beyond ASCII
    if not texts or any(b"\x1b" in raw for raw in texts):
        return
    is_utf_8 = all(_decodes(raw, "utf-8") for raw in texts)
    sentence = f"the header declares {declared or 'no character set'}"
    if declared == _UTF_8 and not is_utf_8:
        setattr(dataset, _NOTE, f"{sentence} and holds text that is none; names may show wrong characters")
    elif declared in _ONE_BYTE and is_utf_8:
        implicit_vr, little_endian = dataset.original_encoding
        dataset.SpecificCharacterSet = _UTF_8
        dataset.set_original_encoding(implicit_vr, little_endian, convert_encodings(_UTF_8))
        setattr(dataset, _NOTE, f"{sentence}, but its text is in UTF-8 by its bytes and was read so")
    elif declared and "\\" not in declared and declared not in python_encoding:
        setattr(dataset, _NOTE, f"{sentence}, which is none of DICOM's; names may show wrong characters")
    elif not declared:
        setattr(dataset, _NOTE, f"{sentence} and holds letters beyond ASCII, read as Western European")


def character_set_note(dataset: Dataset) -> tuple[str, ...]:
    """What `settle_character_set` found, none where all was well."""
    note = getattr(dataset, _NOTE, "")
    return (note,) if note else ()


def keep_character_set_note(source: Dataset, target: Dataset) -> None:
    """Let a dataset that is made from another carry what was found in that one."""
    note = getattr(source, _NOTE, "")
    if note:
        setattr(target, _NOTE, note)


def _declared(dataset: Dataset) -> str:
    element = dataset.get_item("SpecificCharacterSet") if "SpecificCharacterSet" in dataset else None
    value = None if element is None else element.value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str) or value is None:
        return (value or "").strip(" \x00")
    return "\\".join(str(part) for part in value)


def _raw_texts(dataset: Dataset) -> Iterator[bytes]:
    """The bytes of text elements that have not been decoded yet."""
    for element in dataset.values():
        if isinstance(element, RawDataElement) and isinstance(element.value, bytes) and element.tag.group < 0x7FE0:
            vr = element.VR
            if vr in _TEXT or (vr in (None, "UN") and element.tag in _IMPLICIT):
                yield element.value


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


# patient's name and identifier, descriptions of study and series, institution: for files that write no VR
_IMPLICIT = (0x00100010, 0x00100020, 0x00081030, 0x0008103E, 0x00080080)
