"""What a search read gives is what nefertari's own ``dict2obj`` would have made of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nefertari.utils import dict2obj
from nefertari.utils.data import DataProxy

from nefertari_search_tween.search.results import data_object

names = st.sampled_from(["id", "name", "_pk", "_type", "films", "deep"])
# No class of Python's has a name with a null character.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
sources = st.dictionaries(names, values, max_size=6)


def shape(value: Any) -> Any:
    """All that can be seen of an object: its class's name, its attributes, its own copy."""
    if isinstance(value, DataProxy):
        attributes = {name: shape(each) for name, each in vars(value).items()}
        return type(value).__name__, type(value).__mro__[1:], attributes, value.to_dict()
    return [shape(each) for each in value] if isinstance(value, list) else value


@given(sources)
def test_it_is_what_nefertari_makes(source):
    result = data_object(source)
    assert shape(result) == shape(dict2obj(source))


def test_documents_of_one_type_have_one_class():
    first, second = data_object({"_type": "Film"}), data_object({"_type": "Film"})
    assert type(first) is type(second)
    first.title = "Heat"
    assert not hasattr(second, "title")


def test_nested_objects_are_made_when_they_are_looked_at():
    source = {
        "_type": "Film",
        "director": {"_type": "Person", "name": "Kim"},
        "genres": [{"id": 1}],
    }
    film = data_object(source)
    attributes = DataProxy.__dict__["__dict__"].__get__(film)
    assert attributes.keys() == {"_data", "_type"}
    assert film.to_dict() == source
    assert attributes.keys() == {"_data", "_type"}
    assert film.director.name == "Kim"
    assert film.director is film.director
    assert attributes.keys() == {"_data", "_type", "director"}
    # In the order of the document, as nefertari's own.
    assert list(vars(film)) == list(vars(dict2obj(source)))
    assert not hasattr(film, "unknown")
