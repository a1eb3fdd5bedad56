"""``_highlight``: the words of each result that match, between tags.

The backend says which words match, in every form of a text that it has (see ``documents.format``).
They are marked here, in the text as it is stored, so that fragments are the same on every backend.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from nefertari_search_tween.documents.format import composed_field, folded, folded_field
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.context import HIGHLIGHT
from nefertari_search_tween.search.query.any_field import Weighted
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.settings.settings import Settings

# Around matches, in what backends return: characters for private use, which no text should have.
_START, _END = "\ue000", "\ue001"
_TAGS = re.compile(f"[{_START}{_END}]")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


class Highlights(dict):
    """Fragments by name of a field, all of which the caller may see."""


@dataclass(frozen=True)
class HighlightOptions:
    """How fragments are made.

    :param before: text in front of a match.
    :param after: text behind it.
    :param size: characters of a fragment.
    :param count: fragments of one field; 0: the whole texts.
    """

    before: str
    after: str
    size: int
    count: int

    @classmethod
    def of(cls, settings: Settings) -> HighlightOptions:
        before, after = settings.highlight_tags
        return cls(before, after, settings.highlight_size, settings.highlight_count)


def highlight_names(value: Any) -> list[str]:
    """Return the names that the parameter lists, each once; none for ``true`` or without a text."""
    if not isinstance(value, str) or value.strip().lower() == "true":
        return []
    return list(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


def highlighted_fields(
    value: Any, searched: Iterable[Weighted], scope: FieldScope, is_checked: bool
) -> list[str]:
    """Return the names of the fields to highlight.

    :param value: of the parameter: ``true`` for those that are searched, or names.
    :param searched: the fields that texts are looked for in.
    :param is_checked: another model has the fields that this one lacks.
    :raises BadQuery: one holds no text, or the caller may not see it.
    """
    if not isinstance(value, str):
        raise BadQuery(HIGHLIGHT, "given more than once")
    if value.strip().lower() == "true":
        names = [target.name for target, _ in searched if has_highlights(scope.get(target.name))]
        return list(dict.fromkeys(names))
    names = highlight_names(value)
    if not names:
        raise BadQuery(HIGHLIGHT, "true, or names of fields, are expected")
    for name in names:
        target = scope.get(name)
        if target is None:
            problem = f"{scope.document_cls.__name__} has no field '{name[:60]}'"
            raise BadQuery(HIGHLIGHT, problem + scope.meant(name))
        if not has_highlights(target) and not is_checked:
            raise BadQuery(HIGHLIGHT, f"'{name[:60]}' has no text that can be shown here")
    return [name for name in names if has_highlights(scope.get(name))]


def has_highlights(target: Optional[SearchField]) -> bool:
    """Return True if matches in *target* may be shown."""
    # Of nested documents that may be hidden, and of those in other indices, nothing is shown.
    return target is not None and target.kind == "text" and not (target.guarded or target.joins)


def highlight_option(names: Iterable[str], queries: Sequence[Query]) -> dict[str, Any]:
    """Return the part of a search's body that asks for the matches in the fields *names*.

    :param queries: those of the caller, if the search has others besides: what the view looks for
        is not for the caller to see.
    """
    forms = [form for name in names for form in (name, composed_field(name), folded_field(name))]
    return {
        "pre_tags": [_START],
        "post_tags": [_END],
        "number_of_fragments": 0,
        "fields": {form: {} for form in forms},
        **({"highlight_query": {"bool": {"must": [*queries]}}} if queries else {}),
    }


def highlights_of(
    hit: dict[str, Any], names: Sequence[str], options: HighlightOptions
) -> Highlights:
    """Return the fragments of the fields *names* of a hit."""
    marked = hit.get("highlight", {})
    result = Highlights()
    for name in names:
        texts = list(_texts(hit.get("_source", {}), name.split(".")))
        fragments: list[str] = []
        words_by_text = _matches(
            each
            for form in (name, composed_field(name), folded_field(name))
            for each in marked.get(form, ())
        )
        for text in texts or [_TAGS.sub("", each) for each in marked.get(name, ())]:
            words = {
                word
                for form in {text, folded(text)}
                for word in words_by_text.get(_letters(form), ())
            }
            fragments += _fragments(text, words, options)
        if fragments:
            result[name] = fragments[: options.count] if options.count else fragments
    return result


def _matches(texts: Iterable[str]) -> dict[str, set[int]]:
    """Return which words of texts are marked, by their letters: several forms of one text may be
    marked differently."""
    words_by_text: dict[str, set[int]] = {}
    for text in texts:
        spans, length, start = [], 0, 0
        for piece in re.split(f"([{_START}{_END}])", text):
            if piece == _START:
                start = length
            elif piece == _END:
                spans.append((start, length))
            else:
                length += len(piece)
        plain = _TAGS.sub("", text)
        words = {
            number
            for number, word in enumerate(_WORD.finditer(plain))
            if any(word.start() < end and start < word.end() for start, end in spans)
        }
        words_by_text.setdefault(_letters(plain), set()).update(words)
    return words_by_text


def _letters(text: str) -> str:
    return folded(text).strip()


def _fragments(text: str, marked: set[int], options: HighlightOptions) -> Iterator[str]:
    """Yield the parts of *text* with marked words, each of so many characters around them."""
    words = list(_WORD.finditer(text))
    matches = [words[number] for number in sorted(marked) if number < len(words)]
    if not matches:
        return
    if not options.count:
        yield _marked(text, matches, 0, len(text), options)
        return
    index = 0
    while index < len(matches):
        first = index
        while (
            index < len(matches) and matches[index].end() - matches[first].start() <= options.size
        ):
            index += 1
        index = max(index, first + 1)
        inside = matches[first:index]
        space = max(0, options.size - (inside[-1].end() - inside[0].start())) // 2
        begin = _boundary(words, inside[0].start() - space, text, at_end=False)
        end = _boundary(words, inside[-1].end() + space, text, at_end=True)
        yield _marked(text, inside, begin, end, options)


def _boundary(words: list[re.Match[str]], position: int, text: str, at_end: bool) -> int:
    """Return where a fragment begins or ends, so that it cuts no word."""
    if position <= 0 or position >= len(text):
        return min(max(position, 0), len(text))
    for word in words:
        if word.start() < position < word.end():
            return word.end() if at_end else word.start()
    return position


def _marked(
    text: str, matches: Iterable[re.Match[str]], begin: int, end: int, options: HighlightOptions
) -> str:
    pieces, at = [], begin
    for match in matches:
        pieces += [html.escape(text[at : match.start()]), options.before]
        pieces += [html.escape(match[0]), options.after]
        at = match.end()
    return "".join([*pieces, html.escape(text[at:end])]).strip()


def _texts(value: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield the texts at *path* of a document."""
    if isinstance(value, list):
        for each in value:
            yield from _texts(each, path)
    elif isinstance(value, dict) and path:
        yield from _texts(value.get(path[0]), path[1:])
    elif isinstance(value, str) and not path:
        yield value
