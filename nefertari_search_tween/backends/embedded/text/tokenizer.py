"""Split text into terms as Elasticsearch's ``standard`` analyzer does.

Word boundaries are those of Unicode Standard Annex 29 as Lucene's StandardTokenizer applies
them: https://unicode.org/reports/tr29/#Word_Boundary_Rules. A text is translated to one letter
per character, its class, and the rules are a regular expression over these letters. Terms are
lower-cased character by character, as Lucene does it (no context, no character becomes two).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Callable, NamedTuple

# Longer words are cut into pieces (max_token_length of the standard analyzer), in UTF-16 units.
MAX_TERM_UNITS = 255
# Positions between the values of a list, so that no phrase spans two of them.
POSITION_GAP = 100


class Token(NamedTuple):
    """A term and its place in the text: in words, and from which character to which."""

    term: str
    position: int
    start: int
    end: int


# Classes: L letter, G Hebrew letter, K katakana, N digit, U underscore and its like, X what
# extends the character before it, m b q d what joins two letters (m, b, q) or two digits
# (n, b, q), I ideograph, H hiragana, S a script without spaces, T what extends and is of such
# a script, R regional indicator, E pictograph, W what extends and is one, . anything else.
_CONNECTED = {
    **dict.fromkeys(":·\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a", "m"),
    **dict.fromkeys(
        ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b", "n"
    ),
    **dict.fromkeys(".\u2018\u2019\u2024\ufe52\uff07\uff0e", "b"),
    "'": "q",
    '"': "d",
}
_KATAKANA_EXTRA = frozenset("\u3031\u3032\u3033\u3034\u3035\u309b\u309c\u30a0\u30fc\uff70")
_LETTER_EXTRA = frozenset(
    "\u02c2\u02c3\u02c4\u02c5\u02d2\u02d3\u02d4\u02d5\u02d6\u02d7\u02de\u02df\u02ed"
    "\u02ef\u02f0\u02f1\u02f2\u02f3\u02f4\u02f5\u02f6\u02f7\u02f8\u02f9\u02fa\u02fb"
    "\u02fc\u02fd\u02fe\u02ff\u055a\u055b\u055c\u055e\u05f3\ua720\ua721\ua789\ua78a\uab5b"
)
# Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom.
_SPACELESS = (
    (0x0E01, 0x0EDF),
    (0x1000, 0x109F),
    (0x1780, 0x17DF),
    (0x1950, 0x19DF),
    (0x1A20, 0x1AAF),
    (0xA9E0, 0xA9FE),
    (0xAA60, 0xAA7F),
    (0xAA80, 0xAADF),
    (0x11700, 0x1173F),
)
# Extended_Pictographic of Unicode 12, the version that Lucene's rules were made from.
_PICTOGRAPHS = frozenset(
    code
    for first, last in (
        (0xA9, 0xA9), (0xAE, 0xAE), (0x203C, 0x203C), (0x2049, 0x2049), (0x2122, 0x2122),
        (0x2139, 0x2139), (0x2194, 0x2199), (0x21A9, 0x21AA), (0x231A, 0x231B),
        (0x2328, 0x2328), (0x2388, 0x2388), (0x23CF, 0x23CF), (0x23E9, 0x23F3),
        (0x23F8, 0x23FA), (0x24C2, 0x24C2), (0x25AA, 0x25AB), (0x25B6, 0x25B6),
        (0x25C0, 0x25C0), (0x25FB, 0x25FE), (0x2600, 0x2605), (0x2607, 0x2612),
        (0x2614, 0x2685), (0x2690, 0x2705), (0x2708, 0x2712), (0x2714, 0x2714),
        (0x2716, 0x2716), (0x271D, 0x271D), (0x2721, 0x2721), (0x2728, 0x2728),
        (0x2733, 0x2734), (0x2744, 0x2744), (0x2747, 0x2747), (0x274C, 0x274C),
        (0x274E, 0x274E), (0x2753, 0x2755), (0x2757, 0x2757), (0x2763, 0x2767),
        (0x2795, 0x2797), (0x27A1, 0x27A1), (0x27B0, 0x27B0), (0x27BF, 0x27BF),
        (0x2934, 0x2935), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C), (0x2B50, 0x2B50),
        (0x2B55, 0x2B55), (0x3030, 0x3030), (0x303D, 0x303D), (0x3297, 0x3297),
        (0x3299, 0x3299), (0x1F000, 0x1F0FF), (0x1F10D, 0x1F10F), (0x1F12F, 0x1F12F),
        (0x1F16C, 0x1F171), (0x1F17E, 0x1F17F), (0x1F18E, 0x1F18E), (0x1F191, 0x1F19A),
        (0x1F1AD, 0x1F1E5), (0x1F201, 0x1F20F), (0x1F21A, 0x1F21A), (0x1F22F, 0x1F22F),
        (0x1F232, 0x1F23A), (0x1F23C, 0x1F23F), (0x1F249, 0x1F3FA), (0x1F400, 0x1F53D),
        (0x1F546, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F774, 0x1F77F), (0x1F7D5, 0x1F7FF),
        (0x1F80C, 0x1F80F), (0x1F848, 0x1F84F), (0x1F85A, 0x1F85F), (0x1F888, 0x1F88F),
        (0x1F8AE, 0x1F8FF), (0x1F900, 0x1FAFF),
    )
    for code in range(first, last + 1)
)  # fmt: skip


def _class_of(char: str) -> str:
    connected = _CONNECTED.get(char)
    if connected is not None:
        return connected
    category = unicodedata.category(char)
    code = ord(char)
    if category in ("Mn", "Me", "Mc"):
        return "T" if _spaceless(code) else "X"
    if char in _KATAKANA_EXTRA or 0x32D0 <= code <= 0x32FE or 0x3300 <= code <= 0x3357:
        return "K"
    if category == "Cf":
        return "." if char == "\u200b" else "X"
    if code in (0xFF9E, 0xFF9F):
        return "X"
    if 0x1F3FB <= code <= 0x1F3FF:
        return "W"
    if category == "Nd" or char == "\u066b":
        return "N"
    if category == "Pc" or char == "\u202f":
        return "U"
    if code in _PICTOGRAPHS and code not in (0x2139, 0x24C2) and not 0x1F170 <= code <= 0x1F17F:
        return "E"
    if category[0] == "L" or category == "Nl" or char in _LETTER_EXTRA:
        return _letter(char, code)
    if 0x24B6 <= code <= 0x24E9 or 0x1F130 <= code <= 0x1F149:
        return "L"
    if 0x1F150 <= code <= 0x1F169 or 0x1F170 <= code <= 0x1F189:
        return "L"
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "R"
    if 0x2E80 <= code <= 0x2FD5:
        return "I"
    if code == 0x1F200:
        return "H"
    return "."


def _letter(char: str, code: int) -> str:
    if 0x05D0 <= code <= 0x05F2 or 0xFB1D <= code <= 0xFB4F:
        return "G"
    if _spaceless(code):
        return "S"
    if 0x30A1 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF or 0xFF66 <= code <= 0xFF9D:
        return "K"
    if code == 0x1B000 or 0x1B164 <= code <= 0x1B167:
        return "K"
    if 0x3041 <= code <= 0x309F or 0x1B001 <= code <= 0x1B152:
        return "H"
    name = unicodedata.name(char, "")
    if code == 0x3007 or 0x3021 <= code <= 0x3029 or 0x3038 <= code <= 0x303A:
        return "I"
    return "I" if name.startswith("CJK ") else "L"


def _spaceless(code: int) -> bool:
    return any(first <= code <= last for first, last in _SPACELESS)


class _Translation(dict):
    """For ``str.translate``: *translate* is called once for each character."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        self.translate = translate

    def __missing__(self, code: int) -> str:
        translated = self[code] = self.translate(chr(code))
        return translated


_classes = _Translation(_class_of)
# One for one: U+0130 becomes a plain i.
_lower = _Translation(lambda char: char.lower()[0])

# Rules WB5-WB12: letters and digits, and what may stand between two of them.
_X = "[XTW]*"
_RUN = (
    rf"(?:G{_X}(?:q{_X}(?![LG])|d{_X}(?=G)|[mbq]{_X}(?=[LG]))?"
    rf"|L{_X}(?:[mbq]{_X}(?=[LG]))?"
    rf"|N{_X}(?:[nbq]{_X}(?=N))?)+"
)
# WB13: runs of letters and digits, or of katakana, joined by what is like an underscore.
_PART = rf"(?:{_RUN}|(?:K{_X})+)"
_TOKENS = re.compile(
    rf"(?:U{_X})*{_PART}(?:(?:U{_X})+{_PART}?)*"
    rf"|[ST][SXTW]*"
    rf"|[IH]{_X}"
    rf"|R{_X}R{_X}"
    rf"|[EW]{_X}"
    # No term, but to be passed at once: else every place in it would be tried up to its end.
    rf"|(?P<nothing>(?:U{_X})+)"
)


def tokens(text: str) -> list[Token]:
    """Return the terms of *text* with their places, in order."""
    result = []
    position = 0
    classes = text.translate(_classes)
    for match in _TOKENS.finditer(classes):
        if match.lastgroup:
            continue
        start, end = match.span()
        word = text[start:end]
        term = word.lower() if word.isascii() else word.translate(_lower)
        if end - start <= MAX_TERM_UNITS // 2 or _units(term) <= MAX_TERM_UNITS:
            result.append(Token(term, position, start, end))
            position += 1
            continue
        for first, piece in _pieces(term):
            result.append(Token(piece, position, start + first, start + first + len(piece)))
            position += 1
    return result


# What the rules say of ASCII, unless there is something in it that joins letters or digits.
_ASCII_TERM = re.compile("[a-z0-9]+")
_ASCII_JOINED = re.compile("_|[A-Za-z0-9][.:',;][A-Za-z0-9]")


def terms(text: str) -> list[str]:
    """Return the terms of *text*; the position of each is its index in the list."""
    if text.isascii():
        lower = text.lower()
        if _ASCII_JOINED.search(text) is None:
            result = _ASCII_TERM.findall(lower)
        else:
            result = _terms(text, lower)
    else:
        result = _terms(text, text.translate(_lower))
    longest = max(map(len, result), default=0)
    if longest > MAX_TERM_UNITS // 2 and any(_units(term) > MAX_TERM_UNITS for term in result):
        return [piece for term in result for _, piece in _pieces(term)]
    return result


def _terms(text: str, lower: str) -> list[str]:
    """Return the terms of *text* by the rules, however long."""
    return [
        lower[match.start() : match.end()]
        for match in _TOKENS.finditer(text.translate(_classes))
        if not match.lastgroup
    ]


def _units(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text) + sum(1 for char in text if char > "\uffff")


def _pieces(term: str) -> list[tuple[int, str]]:
    pieces, first, units = [], 0, 0
    for index, char in enumerate(term):
        width = 2 if char > "\uffff" else 1
        if units + width > MAX_TERM_UNITS:
            pieces.append((first, term[first:index]))
            first, units = index, 0
        units += width
    pieces.append((first, term[first:]))
    return pieces
