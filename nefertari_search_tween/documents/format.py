"""The fields of a document besides the model's own, and the document of a rejected one."""

from __future__ import annotations

import unicodedata
from typing import Any

from nefertari_search_tween.documents.fields import BaseField

#: exact forms of values whose rendered form loses something (see documents/fields.py)
EXACT = "_exact"
#: texts of this document in composed form, if that is another one (see below)
COMPOSED = "_composed"
#: texts of this document without accents, if that is another form (see below)
FOLDED = "_folded"
#: names of the fields of this document that the index can't sort or match exactly
INEXACT = "_inexact"
#: why the backend rejected the document; only in the stub that replaces it
REJECTED = "_rejected"
#: values of a stored document whose rendered form loses something (see engine/values.py)
PACKED = "_packed"
INTERNAL = (EXACT, COMPOSED, FOLDED, INEXACT, REJECTED, PACKED)

#: the value of INEXACT in a stub: no field of it is known
ANY_FIELD = "*"
#: the query for the stubs of rejected documents
STUBS: dict[str, Any] = {"term": {INEXACT: ANY_FIELD}}


# An accent may be a character of its own: "e" and U+0301 are the same text as "é", in other
# characters. Searches compare texts in the composed form (NFC), as an analyzer with a filter for it
# does, which Elasticsearch has in a plugin alone. So a document has its texts in this form besides,
# where they differ, and searches for what may differ read both fields. The field itself remains
# what the primary shows, and its keyword subfield what the database compares, character by
# character: in that form the two texts are different values.


def composed(value: Any) -> Any:
    """Return the composed form of *value*, a text or a list of texts; others are unchanged."""
    if isinstance(value, str):
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    return [composed(each) for each in value] if isinstance(value, list) else value


def composed_field(name: str) -> str:
    """Return the name of the index field that holds texts of the field *name* in composed form."""
    return _beside(name, COMPOSED)


# Who types into a search box leaves accents out. So that "amelie" finds "Amélie" on every backend,
# whatever its analyzers do, a document has such texts in a third form.

# Letters of Latin alphabets that are no letter with an accent, as Lucene's ASCIIFoldingFilter
# writes them, and the apostrophe.
_LETTERS = str.maketrans(
    {
        **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O"},
        **{"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ł": "l", "Ł": "L"},
        **{"\u0131": "i", "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N", "ŧ": "t", "Ŧ": "T", "ĸ": "q"},
        "\u2019": "'",
    }
)


def folded(value: Any) -> Any:
    """Return *value*, a text or a list of texts, with Latin letters as ASCII has them; marks of
    other scripts, which may be vowels, remain."""
    if isinstance(value, list):
        return [folded(each) for each in value]
    if not isinstance(value, str) or value.isascii():
        return value
    letters: list[str] = []
    latin = False
    for each in unicodedata.normalize("NFKD", value.translate(_LETTERS)):
        if not unicodedata.combining(each):
            latin = each.isascii()
        elif latin:
            continue
        letters.append(each)
    return unicodedata.normalize("NFC", "".join(letters))


def folded_field(name: str) -> str:
    """Return the name of the index field that holds texts of the field *name* without accents."""
    return _beside(name, FOLDED)


def _beside(name: str, group: str) -> str:
    path, dot, last = name.rpartition(".")
    return f"{path}{dot}{group}.{last}"


def exact_field(field: BaseField) -> str:
    """Return the name of the index field that holds the exact form of *field*."""
    if field.exact_type is not None:
        return f"{EXACT}.{field.name}"
    return f"{field.name}.keyword" if field.kind in ("text", "list") else field.name
