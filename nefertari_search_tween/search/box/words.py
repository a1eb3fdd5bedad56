"""Splits what somebody typed into a search box: words, "phrases" and -exclusions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

#: Characters of one word: the standard analyzer splits longer ones.
MAX_WORD_LENGTH = 255
# A minus excludes what it is in front of; elsewhere it belongs to its word. A quote that is not
# closed yet ends with the text: it is being typed.
_TOKEN = re.compile(
    r'(?P<minus>(?<!\S)-(?=[^\s-]))?(?:"(?P<phrase>[^"]*)(?:"|\Z)|(?P<word>[^\s"]+))'
)
# What stands around words of a text and belongs to no value of a field.
_PUNCTUATION = ".,;:!?()[]{}<>'`\u00b4\u2018\u2019\u201c\u201d\u201e\u2026"


class BoxText(NamedTuple):
    """What a text asks for.

    :param words: of which all must be found, in the order of the text, each once; one with a blank
        in it is a phrase.
    :param excluded: words and phrases that must not be found.
    :param goes_on: the last word may be the beginning of one.
    """

    words: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    goes_on: bool = False

    @property
    def text(self) -> str:
        """Return the words as one text."""
        return " ".join(self.words)


def parse_box(texts: Iterable[str], is_typing: bool = False) -> BoxText:
    """Return what *texts* ask for together; whatever is in them, it has a meaning.

    :param is_typing: more may be typed: the last word may go on unless something is behind it.
    """
    goes_on = False
    words: dict[str, None] = {}
    excluded: dict[str, None] = {}
    for text in texts:
        # No server takes a surrogate without its other half; null characters are in no document.
        clean = text.encode("utf-8", "replace").decode().replace("\0", " ")
        for match in _TOKEN.finditer(clean):
            into = excluded if match["minus"] else words
            parts = list(_parts(match["phrase"], match["word"]))
            into.update(dict.fromkeys(parts))
            plain = match["phrase"] is None and into is words and match.end() == len(clean)
            goes_on = is_typing and plain and parts[-1:] == [*words][-1:]
    return BoxText(tuple(words), tuple(excluded), goes_on)


def _parts(phrase: Optional[str], word: Optional[str]) -> Iterator[str]:
    """Yield the words of one token, without those that no field has a term for."""
    text = " ".join(phrase.split()) if phrase is not None else (word or "").strip(_PUNCTUATION)
    for start in range(0, len(text), MAX_WORD_LENGTH):
        part = text[start : start + MAX_WORD_LENGTH].strip()
        if any(each.isalnum() or ord(each) >= 0x2190 for each in part):
            yield part
