"""What a text of a search box asks for, and what it may mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefertari_search_tween.documents.format import folded
from nefertari_search_tween.documents.search_fields import WeightedName, parse_search_fields
from nefertari_search_tween.search.box.query import other_spellings
from nefertari_search_tween.search.box.suggestions import corrected
from nefertari_search_tween.search.box.words import MAX_WORD_LENGTH, BoxText, parse_box


@pytest.mark.parametrize(
    ("text", "words", "excluded"),
    [
        ("", [], []),
        ("  !!! - -- ... ", [], []),
        ("Mission: Impossible", ["Mission", "Impossible"], []),
        ("AND OR NOT", ["AND", "OR", "NOT"], []),
        ('"the godfather" coppola', ["the godfather", "coppola"], []),
        ('"unclosed phrase', ["unclosed phrase"], []),
        ('a"b c"d', ["a", "b c", "d"], []),
        ("matrix -reloaded", ["matrix"], ["reloaded"]),
        ('matrix -"the revisited"', ["matrix"], ["the revisited"]),
        ("spider-man x--y", ["spider-man", "x--y"], []),
        ("war war WAR", ["war", "WAR"], []),
        ("title:war (a OR b)^5 c~ d*", ["title:war", "a", "OR", "b)^5", "c~", "d*"], []),
        ("C++ 50% 1,5", ["C++", "50%", "1,5"], []),
        ("a\0b\ud800", ["a", "b"], []),
        ("\u4e03\u4eba\u306e\u4f8d", ["\u4e03\u4eba\u306e\u4f8d"], []),
        ("x" * 300, ["x" * MAX_WORD_LENGTH, "x" * 45], []),
    ],
)
def test_words(text: str, words: list[str], excluded: list[str]):
    assert parse_box([text]) == BoxText(tuple(words), tuple(excluded))


@pytest.mark.parametrize(
    ("text", "goes_on"),
    [
        ("star w", True),
        ("star ", False),
        ('"star w"', False),
        ("star -w", False),
        ("star!", True),
        ("star, ", False),
        ("", False),
        ("x" * 300, True),
        # The first one of them was whole.
        ("w star w", False),
    ],
)
def test_the_last_word_may_go_on(text: str, goes_on: bool):
    assert parse_box([text], is_typing=True).goes_on is goes_on
    assert not parse_box([text]).goes_on


@given(st.lists(st.text(), max_size=3))
def test_any_text_has_a_meaning(texts: list[str]):
    box = parse_box(texts)
    for word in (*box.words, *box.excluded):
        assert word.strip() == word != ""
        assert len(word) <= MAX_WORD_LENGTH
        word.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Am\u00e9lie", "Amelie"),
        ("Ame\u0301lie", "Amelie"),
        ("\u0141\u00f3d\u017a, Stra\u00dfe, \u00c6r\u00f8", "Lodz, Strasse, AEro"),
        ("don\u2019t", "don't"),
        # Their marks are vowels, or make other letters.
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\ud55c\uad6d", "\ud55c\uad6d"),
        ("\u0439", "\u0439"),
        (["\u00e9", "e", None], ["e", "e", None]),
    ],
)
def test_letters_without_accents(text, expected):
    assert folded(text) == expected


def test_fields_with_weights():
    assert parse_search_fields(["title^5", " cast ", "", "title^2", "*"]) == (
        WeightedName("title", 5.0),
        WeightedName("cast", None),
        WeightedName("*", None),
    )


@pytest.mark.parametrize(
    "text", ["title^", "title^x", "title^0", "title^-1", "title^nan", "a^1001"]
)
def test_weights_that_are_none(text: str):
    with pytest.raises(ValueError, match="is no weight"):
        parse_search_fields([text])


def test_other_spellings():
    assert list(other_spellings(["god", "father"], 1)) == [
        "godfather",
        *("f ather", "fa ther", "fat her", "fath er", "fathe r"),
    ]


SOURCES = [
    {"title": "The Godfather", "director": {"name": "Francis Ford Coppola", "_type": "Person"}},
    {"title": "Spider-Man", "cast": ["Willem Dafoe"]},
    {"title": "Am\u00e9lie"},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("godfahter", ["godfather"]),
        ("godfather copola", ["godfather coppola"]),
        ("spiderman", ["spider man"]),
        ("god father", ["godfather"]),
        ("amelia", ["am\u00e9lie"]),
        ("wilem dafo -godfather", ["willem dafoe -godfather"]),
        # These are what was typed.
        ("godfather", []),
        ("amelie", []),
        # Its first letter is another one; it is too short; nothing is like it.
        ("kodfather", []),
        ("xe", []),
        ("persn", []),
    ],
)
def test_suggestions_are_words_of_documents(text: str, expected: list[str]):
    assert corrected(parse_box([text]), SOURCES) == expected
