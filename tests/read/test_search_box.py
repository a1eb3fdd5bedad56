"""``_query``: whatever people type is a search, and finds what they mean."""

from __future__ import annotations

import os
import random
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from webtest import TestApp

from nefertari_search_tween.exceptions import ConfigurationError
from tests.read.test_bad_input import SOUP
from tests.read.test_search_reads import titles
from tests.support.apps import Films, films, zoo
from tests.support.tiers import examples

pytestmark = pytest.mark.every_backend

#: how many random texts the long test asks
TEXTS = int(os.environ.get("NEFERTARI_SEARCH_TEST_TEXTS", "60"))


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> TestApp:
    return films(*loaded_films)


def search(app: TestApp, text: str, more: str = "", path: str = "/films") -> Any:
    response = app.get(f"{path}?_query={quote(text)}{more}")
    assert response.headers["X-Search-Engine"] == "mirror"
    return response.json


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Mission: Impossible", "Mission: Impossible"),
        ('"the shining', "The Shining"),
        ("lord of the rings", "The Lord of the Rings"),
        ("star wars", "Star Wars: The Clone Wars"),
        ("kubrick shining", "The Shining"),
        ("godfahter", "The Godfather"),
        ("tarkovski solaris", "Solaris"),
        ("amelie", "Am\u00e9lie"),
        ("AM\u00c9LIE", "Am\u00e9lie"),
        ("ame\u0301lie", "Am\u00e9lie"),
        ("godfathers", "3 Godfathers"),
        ("starwars new hope", "Star Wars: Episode IV \u2013 A New Hope"),
        ("god father", "The Godfather"),
        ("xmen", "X-Men"),
        ("schindlers list", "Schindler's List"),
        ("matrix 1999", "The Matrix"),
        ("kubrik shinning", "The Shining"),
        ("zzzz matrix", "The Matrix"),
    ],
)
def test_what_is_meant_comes_first(app: TestApp, text: str, first: str):
    assert titles(search(app, text, "&_limit=3"))[0] == first


@pytest.mark.parametrize("text", ["", " ", "!!!", "...", "-", '"', '""', "- -"])
def test_a_text_without_words_matches_everything(app: TestApp, text: str):
    count_of_all = app.get("/films?_search=true&_count").json["data"]
    assert search(app, text, "&_count")["data"] == count_of_all
    assert search(app, text, "&_limit=1")["query"]["words"] == 0


def test_the_response_says_how_many_of_the_words_are_there(app: TestApp):
    words = {"words": 2, "matched": 2, "ignored": 0, "similar": False}
    assert search(app, "kubrick shining", "&_limit=1")["query"] == words
    assert search(app, "kubrik shining", "&_limit=1")["query"] == {**words, "similar": True}
    assert search(app, "zzzzqqq shining", "&_limit=1")["query"] == {**words, "matched": 1}
    nothing = search(app, "zzzzqqq", "&_limit=1")
    assert (nothing["total"], nothing["query"]["matched"], nothing["suggestions"]) == (0, 0, [])


def test_all_words_or_as_many_as_any_object_has(app: TestApp):
    both = search(app, "godfather part zzzzqqq", "&_limit=20")
    assert both["query"]["matched"] == 2
    assert {title for title in titles(both) if "Godfather" in title} == set(titles(both))


def test_what_is_excluded_is_excluded_in_every_pass(app: TestApp):
    for text in ("matrix -revolutions", "matrxi -revolutions", "zzzzqqq matrix -revolutions"):
        names = titles(search(app, text, "&_limit=50"))
        assert "The Matrix" in names
        assert "The Matrix Revolutions" not in names


def test_each_suggestion_finds_something(app: TestApp):
    for text in ("godfahter", "star warz", "kubrik shinning", "god father", "shawshenk -prison"):
        suggestions = search(app, text, "&_limit=1")["suggestions"]
        assert suggestions
        for each in suggestions:
            again = search(app, each, "&_limit=1")
            assert again["total"] > 0
            assert not again["query"]["similar"]


def test_exact_words_come_before_similar_ones(app: TestApp):
    names = titles(search(app, "godfahter", "&_limit=50"))
    assert "The Godfather" in names
    exact = search(app, "godfather", "&_limit=1")
    assert not exact["query"]["similar"]


def test_counts_pages_and_aggregations_are_of_the_same_objects(app: TestApp):
    for text in ("alien", "godfahter", "zzzzqqq matrix"):
        total = search(app, text, "&_limit=1")["total"]
        assert total > 0
        assert search(app, text, "&_count")["data"] == total
        assert len(titles(search(app, text))) == total
        counted = search(app, text, "&_aggs.n.value_count.field=id")
        assert counted["n"]["value"] == total
        rest = search(app, text, f"&_limit=5&_start={max(total - 2, 0)}")
        assert len(rest["data"]) == min(2, total)


def test_filters_and_sorts_apply(app: TestApp):
    old = search(app, "godfahter", "&year=[* TO 1980]&_sort=year&_search=true")
    assert "The Godfather" in titles(old)
    assert [item["year"] for item in old["data"]] == sorted(item["year"] for item in old["data"])
    assert max(item["year"] for item in old["data"]) <= 1980


def test_q_and_the_box_both_count(app: TestApp):
    both = app.get("/films?_query=alien&q=year:1979").json
    assert titles(both) == ["Alien"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("godf", "The Godfather"),
        ("am\u00e9l", "Am\u00e9lie"),
        ("amel", "Am\u00e9lie"),
        ("kubrick shin", "The Shining"),
        ("star w", "Star Wars: The Clone Wars"),
        ("lord of the r", "The Lord of the Rings"),
        # Whole words come first.
        ("alien", "Alien"),
        # A word with a typo, and a beginning.
        ("kubrik shin", "The Shining"),
    ],
)
def test_the_last_word_is_a_beginning(app: TestApp, text: str, first: str):
    names = titles(search(app, text, "&_prefix=true&_limit=3"))
    assert first in names[:2]


def test_a_beginning_is_off_unless_it_is_asked_for(app: TestApp):
    without = search(app, "kubrick shin", "&_limit=1")["query"]
    assert without["similar"] or without["matched"] < 2
    one = search(app, "godf", "&_prefix=true&_search_fields=title&_limit=50")
    assert all("godf" in title.lower() for title in titles(one))
    assert one["total"] >= 5
    wrong = app.get("/films?_query=a&_prefix=x", status=400).json["message"]
    assert wrong == "Bad parameter '_prefix': 'x' is neither true nor false"


def test_one_letter(app: TestApp):
    response = search(app, "s", "&_prefix=true&_search_fields=title&_limit=1")
    assert response["total"] > 1000


def test_weights_of_a_request(app: TestApp):
    in_titles = search(app, "kubrick", "&_search_fields=title")
    assert all("Kubrick" in title for title in titles(in_titles))
    by_name = search(app, "kubrick", "&_limit=30&_search_fields=director.name^2,title")
    assert by_name["data"][0]["director"]["name"] == "Stanley Kubrick"
    for wrong in ("title^x", "title^0", "nope^2"):
        response = app.get(f"/films?_query=a&_search_fields={wrong}", expect_errors=True)
        assert response.status_int == 400
        assert "_search_fields" in response.json["message"]


def test_more_words_than_are_looked_for(app: TestApp):
    text = " ".join(f"word{number}" for number in range(300)) + " matrix"
    response = search(app, text, "&_limit=1&_search_fields=title")
    assert response["query"]["words"] == 301
    assert response["query"]["ignored"] >= 301 - 64


soup = st.lists(st.sampled_from(SOUP), max_size=12).map("".join)


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=st.one_of(st.text(max_size=60), soup))
@example(text="\0")
@example(text="a\0b")
@example(text="_exists_:x AND title:[1 TO")
@example(text="\u202e\ufeff\u00ad")
@example(text="\U0001f3ac \U0001f1e6\U0001f1f9")
def test_no_text_is_an_error(app: TestApp, text: str):
    box = search(app, text, "&_limit=1")["query"]
    assert box["words"] >= box["matched"] >= 0


@pytest.mark.slow
def test_no_text_is_an_error_in_the_long_run(app: TestApp):
    """NEFERTARI_SEARCH_TEST_TEXTS=20000 is the campaign."""
    draw = random.Random(20261201)
    alphabet = [chr(code) for code in (*range(1, 0x250), *range(0x3040, 0x3100), 0x1F3AC, 0xFFFD)]
    for number in range(TEXTS):
        # In all fields, a text of many words that are nowhere takes half a second.
        fields = "" if number % 20 == 0 else "&_search_fields=title^2,director.name"
        parts = [
            draw.choice(SOUP) if draw.random() < 0.4 else "".join(draw.choices(alphabet, k=5))
            for _ in range(draw.randrange(1, 9))
        ]
        text = draw.choice(["", " "]).join(parts)
        search(app, text, f"&_limit=1{fields}")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x" * 20_000, "\u4e03" * 5_000, "a " * 9_000, "-a " * 9_000])
def test_long_texts_are_no_errors(app: TestApp, text: str):
    search(app, text, "&_limit=1&_search_fields=title,director.name")


# Other applications


def test_q_as_a_box(tmp_path, backend_url: str, index_prefix: str):
    app = zoo(
        f"sqlite:///{tmp_path}/a.sqlite",
        backend_url,
        index_prefix,
        **{"nefertari_search.q": "box", "nefertari_search.similar_below": "0"},
    )
    app.post_json("/tags", {"id": 1, "name": "Mission: Impossible"})
    app.post_json("/tags", {"id": 2, "name": "Godfather"})
    assert app.get("/tags?q=mission: impossible").json["total"] == 1
    assert app.get("/tags?q=AND").json["total"] == 0
    assert app.get("/tags?q=").json["total"] == 2
    # No similar words.
    assert app.get("/tags?q=godfahter").json["total"] == 0


def test_synonyms(tmp_path, backend_url: str, index_prefix: str):
    file = tmp_path / "synonyms.txt"
    file.write_text("sci-fi, science fiction\nteh, hte => the # typos\nww2, second world war\n")
    app = zoo(
        f"sqlite:///{tmp_path}/a.sqlite",
        backend_url,
        index_prefix,
        **{"nefertari_search.synonyms": str(file), "nefertari_search.similar_below": "0"},
    )
    texts = ["The Thing", "Science Fiction Films", "Sci-Fi", "teh", "the second world war", "WW2"]
    for number, name in enumerate(texts, start=1):
        app.post_json("/tags", {"id": number, "name": name})

    def tags(text: str) -> set[str]:
        body = app.get(f"/tags?_query={quote(text)}").json
        assert body["query"]["matched"] == body["query"]["words"]
        return {item["name"] for item in body["data"]}

    assert tags("sci-fi") == tags("Science Fiction") == {"Science Fiction Films", "Sci-Fi"}
    assert tags("science fiction films") == {"Science Fiction Films"}
    assert tags("hte thing") == {"The Thing"}
    # What is replaced is not looked for.
    assert tags("teh") == {"The Thing", "the second world war"}
    assert tags("second world war") == tags("ww2") == {"the second world war", "WW2"}
    assert tags("the ww2") == {"the second world war"}


def test_what_is_changed_has_all_words_as_they_are_typed(tmp_path, backend_url, index_prefix):
    app = zoo(f"sqlite:///{tmp_path}/a.sqlite", backend_url, index_prefix)
    for number, name in enumerate(("red fox", "red deer", "fox"), start=1):
        app.post_json("/tags", {"id": number, "name": name})
    assert app.get("/tags?_query=red foxx").json["total"] == 1
    app.delete("/tags?_query=red foxx", expect_errors=True)
    assert app.get("/tags?_search=false").json["total"] == 3


@pytest.mark.parametrize(
    ("model", "message"),
    [("Nobody", "no mirror of a model Nobody"), ("Tag", "no searchable field 'nope'")],
)
def test_wrong_fields_end_the_start(tmp_path, backend_url, index_prefix, model, message):
    with pytest.raises(ConfigurationError, match=message):
        zoo(
            f"sqlite:///{tmp_path}/a.sqlite",
            backend_url,
            index_prefix,
            **{f"nefertari_search.search_fields.{model}": "nope"},
        )
