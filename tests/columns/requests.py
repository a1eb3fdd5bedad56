"""Random requests to a model: by its fields, with values of its rows and values near them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support import random_requests
from tests.support.random_requests import JUNK

#: the parameters of a request
Request = tuple[tuple[str, str], ...]
#: parameters of the view's: a field that it passes as None, and a field with the text of a value
#: that it passes as it is in Python
NOTHING, TYPED = "nothing", "typed"
LIMITS = ["0", "1", "2", "3", "5", "20"]


def requests(
    fields: dict[str, list[str]], literals: dict[str, list[str]]
) -> st.SearchStrategy[Request]:
    """Draw parameters.

    :param fields: values as callers write them, by name; none for relationships.
    :param literals: values that a view may pass, as Python text.
    """
    names = [name for name, texts in fields.items() if texts]
    # Most are about the columns, not about the key.
    name = st.sampled_from([*names[1:], *names[1:], *names])

    def one_filter(name: str) -> Any:
        value = st.one_of(*[st.sampled_from(fields[name])] * 4, st.sampled_from(JUNK))
        return st.tuples(st.just(name), value)

    sort = st.builds("{}{}".format, st.sampled_from(["", "-"]), name)
    sorts = st.lists(sort, min_size=1, max_size=2).map(",".join)
    typed = name.flatmap(
        lambda each: st.builds(f"{each}:{{}}".format, st.sampled_from(literals[each]))
    )
    by_view = st.tuples(st.just(NOTHING), name) | st.tuples(st.just(TYPED), typed)
    filters = name.flatmap(one_filter)
    sorted_by = st.tuples(st.just("_sort"), sorts)
    simple = st.one_of(
        st.just(()),
        st.tuples(filters),
        st.tuples(filters),
        st.tuples(filters, sorted_by),
        st.tuples(sorted_by),
        st.tuples(by_view),
    )
    mixed = random_requests.requests(fields, LIMITS).map(tuple)
    return st.one_of(simple, simple, mixed)


def columns_of(request: Request) -> set[str]:
    """Return the names of fields that *request* filters or sorts by."""
    names: set[str] = set()
    for name, value in request:
        if name == "_sort":
            names.update(each.strip(" -+") for each in value.split(","))
        elif name in (NOTHING, TYPED):
            names.add(value.partition(":")[0])
        elif not name.startswith("_"):
            names.add(name)
    return names


def smaller(request: Request) -> list[Request]:
    """Return requests that lack one part of *request*."""
    parts: list[Request] = []
    for at, (name, value) in enumerate(request):
        before, after = request[:at], request[at + 1 :]
        parts.append((*before, *after))
        if name in ("_sort", "_fields") and "," in value:
            pieces = value.split(",")
            for number in range(len(pieces)):
                rest = ",".join([*pieces[:number], *pieces[number + 1 :]])
                parts.append((*before, (name, rest), *after))
    return parts


def shape(request: Request, labels: dict[str, str]) -> str:
    """Return what kind of request it is: its parameters, fields by what they are."""

    def labelled(text: str) -> str:
        sign, name = ("-", text[1:]) if text.startswith("-") else ("", text)
        return sign + labels.get(name, name)

    parts = []
    for name, value in request:
        if name in ("_sort", "_fields"):
            parts.append(f"{name}={','.join(labelled(each) for each in value.split(','))}")
        elif name in (NOTHING, TYPED):
            parts.append(f"{name}={labelled(value.partition(':')[0])}")
        else:
            parts.append(labelled(name))
    return "&".join(sorted(parts))
