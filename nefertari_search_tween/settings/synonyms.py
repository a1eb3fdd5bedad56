"""Files of synonyms, in Solr's format, as servers read it, too.

``couch, sofa`` are equal; ``teh, hte => the`` replaces what is on the left by what is on the right;
``#`` begins a comment. Words are compared without upper case and accents; an entry may have
several.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nefertari_search_tween.documents.format import folded

#: words, in the form in which they are compared
Phrase = tuple[str, ...]

_COMMA = re.compile(r"(?<!\\),")


class Synonyms(dict[Phrase, tuple[tuple[str, ...], bool]]):
    """By words, the texts that mean the same, and whether they replace them.

    :ivar longest: number of words of the longest entry.
    """

    longest = 0

    def of(self, words: Sequence[str], index: int) -> tuple[list[str], bool]:
        """Return the texts that mean the same as the word at *index*, alone or with its neighbours,
        and whether they replace it."""
        texts: dict[str, None] = {}
        replaced = False
        compared = [_compared(word) for word in words]
        for length in range(1, self.longest + 1):
            for start in range(max(0, index - length + 1), min(index, len(words) - length) + 1):
                entry = self.get(tuple(compared[start : start + length]))
                if entry is not None:
                    texts.update(dict.fromkeys(entry[0]))
                    replaced = replaced or entry[1]
        return list(texts), replaced


def synonym_file(path: str) -> Synonyms:
    """Read the file *path*; no synonyms without one.

    :raises ValueError: it can't be read, or a line has no meaning; the message has its number.
    """
    if not path:
        return Synonyms()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"can't read the synonyms: {error}") from error
    entries = Synonyms()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        before_arrow, arrow, after_arrow = text.partition("=>")
        sources, targets = _texts(before_arrow), _texts(after_arrow if arrow else before_arrow)
        if not sources or not targets or "=>" in after_arrow or (not arrow and len(sources) < 2):
            raise ValueError(
                f"{path}, line {number}: '{line[:60]}' has no synonyms (a, b or a => b)"
            )
        for source in sources:
            words = tuple(_compared(word) for word in source.split())
            others = tuple(each for each in targets if arrow or each != source)
            before, replaces = entries.get(words, ((), False))
            entries[words] = tuple(dict.fromkeys([*before, *others])), replaces or bool(arrow)
    entries.longest = max(map(len, entries), default=0)
    return entries


def _texts(text: str) -> list[str]:
    parts = (part.replace("\\,", ",") for part in _COMMA.split(text))
    return [" ".join(part.split()) for part in parts if part.strip()]


def _compared(word: str) -> str:
    return str(folded(word.lower()))
