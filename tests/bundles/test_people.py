"""Nobody passes for another by how a name is written, and nothing that is recorded can change how a record looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.approvals import Approval
from bundles.errors import MalformedDocumentError, RefusedError
from bundles.people import LONGEST_NOTE, read_note, read_person, same_person
from tests.bundles.conftest import AUTHOR, NOW_NS, OTTO, Person, World

QUANT = "quant@firm.example"


@pytest.mark.parametrize(
    "name",
    [
        "ada@firm.example",
        "Ada Lovelace",
        "Ada Lovelace <ada+risk@firm.example>",
        "O'Brien-Smith Jr.",
        "runner-1",
        "Jürgen Łukasz Nguyễn",
        "Иван Петров",
        "Иван Петров <ivan@firm.example>",
        "Ελένη",
        "山田 太郎",
        "김철수",
        "हिन्दी",
        "สมชาย",
    ],
)
def test_names_of_people(name: str) -> None:
    assert read_person(name) == name
    assert same_person(f" {name.upper()} ") == same_person(name)


@pytest.mark.parametrize(
    ("char", "named"),
    [
        ("\u3164", "U+3164 (HANGUL FILLER)"),
        ("\u115f", "U+115F"),
        ("\uffa0", "U+FFA0"),
        ("\u034f", "U+034F (COMBINING GRAPHEME JOINER)"),
        ("\ufe0f", "U+FE0F (VARIATION SELECTOR-16)"),
        ("\u2800", "U+2800 (BRAILLE PATTERN BLANK)"),
        ("\u200b", "U+200B"),
        ("\u00ad", "U+00AD"),
        ("\u202e", "U+202E"),
        ("\x1b", "U+001B"),
        ("\n", "U+000A"),
        ("\udc80", "U+DC80"),
        ("\u0430", "U+0430 (CYRILLIC SMALL LETTER A)"),
        ("\u0251", "U+0251 (LATIN SMALL LETTER ALPHA)"),
        ("\u0332", "U+0332"),
        ('"', "U+0022"),
        ("/", "U+002F"),
    ],
)
def test_a_name_with_another_character_is_refused_and_the_character_named(char: str, named: str) -> None:
    for name in (QUANT + char, char + QUANT, char, QUANT.replace("a", char)):
        if name.strip() and name != "\u0430":  # a letter alone is a short name
            with pytest.raises(MalformedDocumentError) as caught:
                read_person(name)
            assert named in str(caught.value)
            assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["", " ", ".", "-", "''", "<>", "x <y>", f"{QUANT} <other@firm.example>", "a" * 255])
def test_what_names_nobody_is_refused(name: str) -> None:
    with pytest.raises(MalformedDocumentError, match="cannot be the name of a person"):
        read_person(name)


def test_a_name_of_any_length_gives_a_short_message() -> None:
    with pytest.raises(MalformedDocumentError) as caught:
        read_person("x" * 100_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name",
    [
        "QUANT@firm.example",
        "\uff51\uff55\uff41\uff4e\uff54@firm.example",
        "quant\uff20firm.example",
        f"Quant <{QUANT}>",
        f"<{QUANT.upper()}>",
        f"{QUANT}.",
        f"'{QUANT}'",
        f"- {QUANT} -",
        "quant @ firm.example",
        "quant\u00a0@firm.example",
    ],
)
def test_another_spelling_is_the_same_person(name: str) -> None:
    assert same_person(read_person(name)) == QUANT


@given(st.text(max_size=300))
def test_a_name_that_was_read_reads_the_same_again(text: str) -> None:
    try:
        name = read_person(text)
    except MalformedDocumentError:
        return
    assert name.isprintable()
    assert read_person(name) == name
    assert same_person(same_person(name)) == same_person(name)


@pytest.mark.parametrize("suffix", ["\u3164", "\u034f", "\ufe0f", "\u2800"])
def test_an_author_does_not_approve_under_a_look_alike(world: World, suffix: str) -> None:
    with pytest.raises(MalformedDocumentError, match=r"U\+"):
        Person(AUTHOR.name + suffix).says(world.statement("replay"), signed=False)


def test_an_author_does_not_approve_with_another_spelling(world: World) -> None:
    name = world.evaluate("replay")
    for spelling in (f"Author <{AUTHOR.name}>", AUTHOR.name.replace("a", "\uff41"), f"{AUTHOR.name}."):
        with pytest.raises(RefusedError) as caught:
            world.promote("replay", name, by=(Person(spelling),), signed=False)
        assert any("is the author" in line for line in caught.value.unmet)


def test_notes_keep_newlines_and_tabs() -> None:
    text = "first\r\n\tsecond — 二 👩\u200d🔬"
    assert read_note(text) == text.replace("\r\n", "\n")
    assert read_note("x" * LONGEST_NOTE)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a\x1b[2J", r"U\+001B .* at character 2"),
        ("a\rb", r"U\+000D"),
        ("a\u202eb", r"U\+202E \(RIGHT-TO-LEFT OVERRIDE\)"),
        ("a\u2028b", r"U\+2028"),
        ("a\x85b", r"U\+0085"),
        ("caf\udce9", r"not valid Unicode: U\+DCE9 .* character 4"),
        ("x" * (LONGEST_NOTE + 1), "10001 characters"),
    ],
)
def test_notes_that_change_how_a_record_looks_are_refused_everywhere(world: World, text: str, named: str) -> None:
    before = sorted(world.store.list(""))
    for use in (
        lambda: read_note(text),
        lambda: Approval(approver="ada", notes=text, at_ns=NOW_NS),
        lambda: world.promote("live", by=(OTTO,), break_glass=True, notes=text),
        lambda: world.catalog.register_artifact("art_other", {}, note=text),
    ):
        with pytest.raises(MalformedDocumentError, match=named):
            use()
    assert sorted(world.store.list("")) == before
