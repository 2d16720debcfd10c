"""Names of people and what people write: read at the door, so that nobody passes for another.

A name is written in one script, with letters that can be seen. It is kept in its compatibility form (Unicode NFKC) and
compared without case, outer punctuation and spaces; ``Name <address>`` is compared by the address.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from bundles.errors import MalformedDocumentError

LONGEST_NAME: Final = 254
"""As long as an e-mail address may be."""

LONGEST_NOTE: Final = 10_000

_PUNCTUATION: Final = frozenset(" ._@+'-")
_CHINESE_AND_JAPANESE: Final = {"CJK": "CJK", "HIRAGANA": "CJK", "KATAKANA": "CJK"}
_SCRIPTS: Final = {
    name: name for name in ("ARMENIAN", "CYRILLIC", "GEORGIAN", "GREEK", "HANGUL", "HEBREW", "LATIN", "ARABIC")
} | _CHINESE_AND_JAPANESE
_WITH_MARKS: Final = {name: name for name in ("BENGALI", "DEVANAGARI", "TAMIL", "TELUGU", "THAI")}
"""Scripts whose words need vowel signs; in the others letters come composed."""

_WITH_ADDRESS: Final = re.compile(r"([^<>]*)<([^<>]*)>")
_ZERO_WIDTH_JOINERS: Final = "\u200c\u200d"
"""Needed to spell some scripts and emoji; the other format characters reorder or hide text."""


@lru_cache(maxsize=4096)
def read_person(text: str) -> str:
    """Return the name of a person as it is kept.

    Raises:
        MalformedDocumentError: saying which character, or what else, a name cannot have.

    """
    if len(text) > LONGEST_NAME:
        raise _no_name(text, f"it has {len(text)} characters, more than {LONGEST_NAME}")
    name = " ".join(unicodedata.normalize("NFKC", text).split(" ")).strip(" ")
    name = re.sub(" +", " ", name)
    shown, address = _parts(name)
    if address and ("@" in shown or "@" not in address):
        raise _no_name(text, "only what stands between < and > can be, and must be, an address")
    for part in filter(None, (shown, address)):
        if problem := _problem(part, text):
            raise _no_name(text, problem)
    if len(name) > LONGEST_NAME:
        raise _no_name(text, f"it has {len(name)} characters, more than {LONGEST_NAME}")
    if not same_person(name):
        raise _no_name(text, "it has neither a letter nor a digit")
    return name


@lru_cache(maxsize=4096)
def same_person(name: str) -> str:
    """Return the form in which names of people are compared."""
    shown, address = _parts(unicodedata.normalize("NFKC", name).strip())
    folded = unicodedata.normalize("NFKC", (address or shown).casefold())
    words = (word.strip("._@+'-") for word in re.sub(r"\s*([._@+'-])\s*", r"\1", folded).split())
    return " ".join(filter(None, words))


def read_note(text: str) -> str:
    """Return what a person wrote, as it is kept: line ends are newlines.

    Raises:
        MalformedDocumentError: saying which character it cannot have, or that it is too long.

    """
    text = text.replace("\r\n", "\n")
    if len(text) > LONGEST_NOTE:
        raise MalformedDocumentError(
            f"The notes have {len(text)} characters, more than {LONGEST_NOTE}. Shorten them, or register a file "
            "as an artifact."
        )
    for place, char in enumerate(text):
        if char in "\n\t" or char in _ZERO_WIDTH_JOINERS:
            continue
        if unicodedata.category(char) == "Cs":
            raise MalformedDocumentError(
                f"The notes are not valid Unicode: {describe(char)} stands at character {place + 1}. "
                "Write them in UTF-8."
            )
        if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}:
            raise MalformedDocumentError(
                f"The notes hold {describe(char)} at character {place + 1}, which can change how a record looks. "
                "Leave it out; newlines and tabs may stay."
            )
    return text


PersonName: TypeAlias = Annotated[str, AfterValidator(read_person)]
"""Who acts: an author, runner, approver or requester."""

Note: TypeAlias = Annotated[str, AfterValidator(read_note)]
"""Free text of a person, of bounded length and without control characters."""


def describe(char: str) -> str:
    """Return a character's code point and name, which can be printed whatever the character is."""
    return f"U+{ord(char):04X} ({unicodedata.name(char, 'without a name')})"


def _no_name(text: str, problem: str) -> MalformedDocumentError:
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    return MalformedDocumentError(
        f"{shown} cannot be the name of a person: {problem}. Write a name or an e-mail address in letters of one "
        f"script, digits, spaces and ._@+'-, such as ada@firm.example."
    )


def _parts(name: str) -> tuple[str, str]:
    """Return what is shown and the address, which is empty in a plain name."""
    found = _WITH_ADDRESS.fullmatch(name)
    return (found[1].strip(), found[2].strip()) if found else (name, "")


def _problem(part: str, given: str) -> str | None:
    """Say which character keeps a text from being a name; ``given`` is the text before it was normalised."""
    scripts: dict[str, str] = {}
    for char in part:
        if char in _PUNCTUATION or (char.isascii() and char.isdigit()):
            continue
        script = _script(char)
        if script is None:
            origin = next((each for each in given if char in unicodedata.normalize("NFKC", each)), char)
            return f"{describe(origin)} is no letter, digit or mark that a name can have"
        scripts.setdefault(script, char)
    if len(scripts) > 1:
        return f"it mixes scripts: {' with '.join(describe(char) for char in scripts.values())}"
    return None


def _script(char: str) -> str | None:
    """Return the script of a letter that can be seen for what it is, else None."""
    category, first = unicodedata.category(char), re.split("[ -]", unicodedata.name(char, "-"))[0]
    if category in {"Lu", "Ll", "Lo"} or char == "\u30fc":  # the prolonged sound mark of Japanese
        if first == "HANGUL" and not "\uac00" <= char <= "\ud7a3":
            return None  # single parts of syllables, and the fillers among them
        if first == "LATIN" and "\u0180" <= char < "\u1e00" and not "\u0218" <= char <= "\u021b":
            return None  # phonetic letters, made to look like others
        return _SCRIPTS.get(first) or _WITH_MARKS.get(first)
    return _WITH_MARKS.get(first) if category in {"Mn", "Mc"} else None
