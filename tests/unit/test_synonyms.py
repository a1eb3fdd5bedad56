"""Files of synonyms: what lines mean, and which words have others."""

from __future__ import annotations

from pathlib import Path

import pytest

from nefertari_search_tween.settings.synonyms import synonym_file

LINES = """
# comment
couch, sofa , settee
teh, hte => the   # a typo
ww2, second world war
us\\,a, america
a => b, c
a => d
"""


@pytest.mark.parametrize(
    ("words", "index", "texts", "replaced"),
    [
        (["couch"], 0, ["sofa", "settee"], False),
        (["a", "SOFA"], 1, ["couch", "settee"], False),
        (["teh"], 0, ["the"], True),
        (["the"], 0, [], False),
        (["ww2"], 0, ["second world war"], False),
        (["second", "world", "war"], 0, ["ww2"], False),
        (["the", "second", "world", "war"], 3, ["ww2"], False),
        (["the", "second", "world", "war"], 0, [], False),
        (["second", "world"], 0, [], False),
        (["us,a"], 0, ["america"], False),
        (["a"], 0, ["b", "c", "d"], True),
        (["other"], 0, [], False),
    ],
)
def test_entries(tmp_path: Path, words: list[str], index: int, texts: list[str], replaced: bool):
    file = tmp_path / "synonyms.txt"
    file.write_text(LINES, encoding="utf-8")
    assert synonym_file(str(file)).of(words, index) == (texts, replaced)


@pytest.mark.parametrize("line", ["alone", "=> a", "a =>", "a => b => c", ", ,"])
def test_a_line_without_a_meaning(tmp_path: Path, line: str):
    file = tmp_path / "synonyms.txt"
    file.write_text(f"a, b\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: "):
        synonym_file(str(file))


def test_no_file():
    assert not synonym_file("")
    with pytest.raises(ValueError, match="can't read the synonyms"):
        synonym_file("/no/such/file")
