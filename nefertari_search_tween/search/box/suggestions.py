"""What somebody may have meant: words of documents that a search for typos has found.

They are taken from documents, and fields, that the caller sees, and each suggestion is counted
before it is returned: the caller's own search for it finds something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from rapidfuzz.distance import OSA

from nefertari_search_tween.documents.format import folded
from nefertari_search_tween.search.box.words import BoxText

#: suggestions in a response
MOST = 3
#: documents that they are taken from
DOCUMENTS = 10
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def corrected(box: BoxText, sources: Iterable[Any]) -> list[str]:
    """Return texts like that of *box*, made of the words of documents, the best one's first.

    :param sources: parts of documents, their searched fields.
    """
    texts: dict[str, None] = {}
    for source in sources:
        words = [word for text in _texts(source) for word in _WORD.findall(text.lower())]
        by_form = {folded(word): word for word in reversed(words)}
        pairs = {folded(one + other): f"{one} {other}" for one, other in zip(words, words[1:])}
        text = _corrected(box, by_form, pairs)
        if text is not None:
            texts.setdefault(text)
    return list(texts)[:MOST]


def _corrected(box: BoxText, by_form: dict[str, str], pairs: dict[str, str]) -> Optional[str]:
    """Return the text of *box* with the words of one document; None if that is what was typed."""
    words: list[str] = []
    index = 0
    while index < len(box.words):
        word = folded(box.words[index].lower())
        joined = folded("".join(box.words[index : index + 2]).lower())
        if word in by_form or " " in word:
            words.append(_quoted(box.words[index]))
        elif joined != word and joined in by_form:
            words.append(by_form[joined])
            index += 1
        elif word in pairs:
            words.append(pairs[word])
        else:
            near = _nearest(word, by_form)
            words.append(box.words[index] if near is None else near)
        index += 1
    typed = [_quoted(each) for each in box.words]
    if [folded(each.lower()) for each in words] == [folded(each.lower()) for each in typed]:
        return None
    return " ".join([*words, *(f"-{_quoted(each)}" for each in box.excluded)])


def _nearest(word: str, by_form: dict[str, str]) -> Optional[str]:
    """Return the word with the fewest edits, as the search counts them."""
    edits = 0 if len(word) < 3 else 1 if len(word) < 6 else 2
    near = [
        (OSA.distance(word, form, score_cutoff=edits), position, each)
        for position, (form, each) in enumerate(by_form.items())
        if form[:1] == word[:1]
    ]
    distance, _, each = min(near, default=(edits + 1, 0, ""))
    return each if distance <= edits else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            if not name.startswith("_"):
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
