"""Analyzers and index settings: chosen for all, a model or a field, and checked at start.

OpenSearch has languages; the minimal distribution of Elasticsearch has parts to define analyzers
of, and none of the languages.
"""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import transaction

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.mirror.mapping import index_mapping, mapping_diff
from tests.servers import free_port
from tests.servers.base import wait_until
from tests.support.apps import search_of, zoo
from tests.support.faulty_server import forwarding
from tests.write.test_sync import empty_tables, hit_keys, same

ANALYSIS = {
    "analyzer": {
        "mine": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", "few"]},
        "other": {"type": "standard", "stopwords": ["never"]},
    },
    "filter": {"few": {"type": "stop", "stopwords": ["lion", "of"]}},
}


class Place:
    """A database, a prefix and settings of a test's own; makes applications on them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.prefix = f"test-{uuid.uuid4().hex[:12]}"

    def app(self, **settings: Any) -> Any:
        """The zoo; ``analyzer__Item=x`` is ``nefertari_search.analyzer.Item = x``."""
        options = {
            key if "." in key else f"nefertari_search.{key.replace('__', '.')}": value
            for key, value in settings.items()
        }
        return zoo(f"sqlite:///{self.folder / 'zoo.sqlite'}", self.url, self.prefix, **options)

    def file(self, content: Any, name: str = "index.json") -> str:
        path = self.folder / name
        path.write_text(json.dumps(content))
        return str(path)

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url.rpartition("+")[2] + path, timeout=30) as answer:
            return json.load(answer)

    def mapping(self, alias: str) -> dict[str, Any]:
        (entry,) = self.ask(f"/{self.prefix}-{alias}/_mapping").values()
        properties: dict[str, Any] = entry["mappings"]["properties"]
        return properties


def placed(folder: Path, url: str) -> Iterator[Place]:
    from pyramid_sqlalchemy import Session

    deployment = Place(folder, url)
    yield deployment
    transaction.abort()
    Session.remove()
    server = url.rpartition("+")[2]
    for entry in deployment.ask(f"/_cat/indices/{deployment.prefix}*?format=json&h=index"):
        request = urllib.request.Request(f"{server}/{entry['index']}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture
def elastic(tmp_path: Path, elasticsearch_url: str) -> Iterator[Place]:
    yield from placed(tmp_path, elasticsearch_url)


@pytest.fixture(scope="module")
def languages(
    tmp_path_factory: pytest.TempPathFactory, opensearch_url: str
) -> Iterator[tuple[Place, Any]]:
    """An application with texts of several languages, filled."""
    pytest.importorskip("opensearchpy", reason="the extra 'opensearch' is not installed")
    for deployment in placed(tmp_path_factory.mktemp("languages"), f"opensearch+{opensearch_url}"):
        app = deployment.app(
            analyzer="english",
            analyzer__Item__word="standard",
            analyzer__Item__words="whitespace",
            analyzer__Keeper="german",
        )
        empty_tables()
        app.post_json("/keepers", {"code": "running", "name": "Hüter der Häuser"})
        for number, story in enumerate(STORIES, 1):
            item = {"id": number, "story": story, "word": story[:200], "words": [story]}
            app.post_json("/items", {**item, "keeper_code": "running" if number == 1 else None})
        outbox = search_of(app).outbox
        assert wait_until(lambda outbox=outbox: not outbox.pending_count(), 20)
        yield deployment, app


STORIES = ["The lion runs from the hunters", "A lion is running", "Of mice and men", "The Who"]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        # English: words by their stems, without those that say nothing.
        ("story", "run", [1, 2]),
        ("story", "running", [1, 2]),
        ("story", "Hunter", [1]),
        ("story", '"lion is running"', [2]),
        ("story", '"lion runs"', [1]),
        ("story", '"runs lion"', []),
        ("story", "the running lion", [1, 2]),
        ("story", "the hunter AND NOT mouse", [1]),
        ("story", "who OR the", [4]),
        ("story", "the", []),
        ("story", "the of", []),
        ("story", "run*", [1, 2]),
        ("story", "huntrs~1", [1]),
        ("story", "the~1 lion", [1, 2]),
        # Standard: as written, every word.
        ("word", "run", []),
        ("word", "running", [2]),
        ("word", "the", [1, 4]),
        ("word", "of the", []),
        # Lists, by an analyzer that keeps upper case.
        ("words", "lion", [1, 2]),
        ("words", "Lion", []),
        ("words", "Who", [4]),
        # A nested model has its own, keys have none.
        ("keeper.name", "haus", [1]),
        ("keeper.name", "house", []),
        ("keeper.code", "running", [1]),
        ("keeper.code", "run", []),
    ],
)
def test_texts_are_searched_by_the_analyzer_of_their_field(
    languages: Any, field: str, text: str, expected: list[int]
) -> None:
    _, app = languages
    assert hit_keys(app, "items", **{field: text}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("running", [1, 2]),
        ("story:the AND story:running", [1, 2]),
        ('"the hunters"', [1]),
        ("man mice", [3]),
        ("häuser", [1]),
        ("story:run^3 AND keeper.name:haus", [1]),
    ],
)
def test_all_fields_are_searched_each_by_its_own_analyzer(
    languages: Any, text: str, expected: list[int]
) -> None:
    _, app = languages
    response = app.get(f"/items?_sort=id&_limit=100&q={quote(text)}")
    assert response.headers["X-Search-Engine"] == "mirror"
    assert [each["id"] for each in response.json["data"]] == expected


@pytest.mark.parametrize(
    "query",
    [
        f"story={quote(STORIES[0])}",
        "story=running",
        "story=The%20Who&_sort=-story",
        "_sort=story",
        "_sort=-word,id",
    ],
)
def test_transparent_reads_are_as_exact_as_ever(languages: Any, query: str) -> None:
    _, app = languages
    same(app, f"/items?{query}")


def test_sorts_of_searches_go_by_the_whole_text(languages: Any) -> None:
    _, app = languages
    response = app.get("/items?_limit=9&_search=true&_sort=-story&story=lion OR who")
    assert [each["id"] for each in response.json["data"]] == [1, 4, 2]


def test_mappings_name_analyzers_that_are_not_the_default(languages: Any) -> None:
    deployment, _ = languages
    item, keeper = deployment.mapping("item"), deployment.mapping("keeper")
    assert item["story"]["analyzer"] == "english"
    assert "analyzer" not in item["story"]["fields"]["keyword"]
    assert item["words"]["analyzer"] == "whitespace"
    assert "analyzer" not in item["word"]
    assert item["keeper"]["properties"]["name"]["analyzer"] == "german"
    assert keeper["name"]["analyzer"] == "german"
    # Keys are no language: of the model itself, of others, of relationships.
    assert "analyzer" not in keeper["code"]
    assert "analyzer" not in item["keeper_code"]
    assert "analyzer" not in keeper["items"]


def test_an_index_of_another_analyzer_is_not_searched(languages: Any) -> None:
    deployment, app = languages
    other = deployment.app(analyzer="french", analyzer__Keeper="german")
    mirrors = search_of(other).mirrors
    response = other.get("/items?_sort=id")
    assert response.headers["X-Search-Engine"] == "primary; reason=schema-mismatch"
    assert same(other, "/keepers")["count"] == 1
    mirror = mirrors.get("Item")
    lines = mapping_diff(mirror.mapping, mirrors.backend.get_mapping(mirror.alias))
    assert "! story: analyzer english in the index, french by the settings" in lines
    assert "! words: analyzer whitespace in the index, french by the settings" in lines
    # The one made last has what is global to nefertari: give it back.
    search_of(app).install()


# Analyzers that are not there


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        # The first model of all that this process has: the zoo's, or the films' from another test.
        ({"analyzer": "english"}, r"(Custom\.first|Country\.name)"),
        ({"analyzer__Item": "english"}, r"Item\.kind"),
        ({"analyzer__Label__text": "english"}, r"Item\.label\.text"),
    ],
)
def test_an_unknown_analyzer_stops_the_application(
    elastic: Place, settings: dict[str, str], asks: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        elastic.app(**settings)

    message = str(raised.value)
    assert message.startswith("nefertari_search.analyzer: elasticsearch has no analyzer 'english'")
    assert re.search(rf"which {asks}(, [\w., ]+)? asks for: ", message)
    assert "\n" not in message


def test_the_embedded_backend_has_one_analyzer(tmp_path: Path) -> None:
    deployment = Place(tmp_path, f"embedded:{tmp_path / 'search'}")
    with pytest.raises(ConfigurationError) as raised:
        deployment.app(analyzer="english")

    assert "embedded has no analyzer 'english'" in str(raised.value)
    assert "Elasticsearch and OpenSearch have more" in str(raised.value)
    deployment.app(analyzer="standard")


def test_a_server_that_is_down_at_start_is_asked_when_an_index_is_made(elastic: Place) -> None:
    port = free_port()
    server, elastic.url = elastic.url, f"http://127.0.0.1:{port}"
    app = elastic.app(analyzer="english")
    elastic.url = server
    assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=unavailable"

    mirrors = search_of(app).mirrors
    with forwarding(port, int(server.rpartition(":")[2])):
        assert wait_until(lambda: not mirrors.breaker.open, 20)
        with pytest.raises(ConfigurationError, match="has no analyzer 'english'"):
            mirrors.create(mirrors.get("Item"), mirrors.next_name(mirrors.get("Item")))
        assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=no-index"
    assert elastic.ask(f"/_cat/indices/{elastic.prefix}*?format=json") == []


# Index settings


def test_an_analyzer_of_ones_own(elastic: Place) -> None:
    app = elastic.app(
        **{
            "elasticsearch.index.settings_file": elastic.file({"analysis": ANALYSIS}),
            "nefertari_search.analyzer.Item": "mine",
        }
    )
    empty_tables()
    app.post_json("/items", {"id": 1, "name": "King of the lions"})
    app.post_json("/items", {"id": 2, "name": "The Lion King"})

    assert hit_keys(app, "items", name="lion") == []
    assert hit_keys(app, "items", name="king") == [1, 2]
    assert hit_keys(app, "items", name="lion king") == [1, 2]
    assert hit_keys(app, "items", name="of lion") == []
    assert same(app, "/items?name=The%20Lion%20King")["count"] == 1


def test_settings_of_a_model_go_before_those_of_all(elastic: Place) -> None:
    everywhere = {"number_of_shards": 2, "number_of_replicas": 0, "analysis": ANALYSIS}
    own = {"settings": {"index": {"number_of_shards": 3, "refresh_interval": "7s"}}}
    app = elastic.app(
        **{
            "elasticsearch.index.settings_file": elastic.file(everywhere),
            "nefertari_search.index_settings.Item": elastic.file(own, "item.json"),
            "nefertari_search.analyzer.Item.name": "mine",
        }
    )
    responses = {
        alias: next(iter(elastic.ask(f"/{elastic.prefix}-{alias}/_settings").values()))
        for alias in ("item", "keeper")
    }
    item, keeper = (responses[alias]["settings"]["index"] for alias in ("item", "keeper"))
    assert (item["number_of_shards"], keeper["number_of_shards"]) == ("3", "2")
    assert (item["number_of_replicas"], keeper["number_of_replicas"]) == ("0", "0")
    assert (item["refresh_interval"], keeper.get("refresh_interval")) == ("7s", None)
    assert item["analysis"] == keeper["analysis"]
    assert item["gc_deletes"] == "1h"
    assert same(app, "/items")["data"] == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"numbr_of_shards": 1}, "unknown setting [index.numbr_of_shards]"),
        ({"number_of_shards": "many"}, "[index.number_of_shards]"),
        ({"analysis": {"analyzer": {"x": {"type": "nonsense"}}}}, "[nonsense] for [x]"),
    ],
)
def test_settings_that_the_server_refuses_are_named_with_their_file(
    elastic: Place, content: Any, says: str
) -> None:
    path = elastic.file(content)
    with pytest.raises(ConfigurationError) as raised:
        elastic.app(**{"nefertari_search.index_settings.Item": path})

    message = str(raised.value)
    assert "elasticsearch refuses to make the index of Item" in message
    assert path in message
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("analyzer", "says"),
    [
        ({"tokenizer": "nonsense"}, "nonsense"),
        ({"tokenizer": "standard", "filter": ["nonsense"]}, "nonsense"),
        ({"tokenizer": "standard", "char_filter": "nonsense"}, "nonsense"),
        ({"type": "nonsense"}, "nonsense"),
    ],
)
def test_definitions_are_tried_at_start_whatever_indices_there_are(
    elastic: Place, analyzer: Any, says: str
) -> None:
    elastic.app()
    path = elastic.file({"analysis": {"analyzer": {"mine": analyzer}}})
    with pytest.raises(ConfigurationError) as raised:
        elastic.app(
            **{
                "elasticsearch.index.settings_file": path,
                "nefertari_search.analyzer.Item.name": "mine",
            }
        )

    assert "has no analyzer 'mine', which Item.name asks for" in str(raised.value)
    assert says in str(raised.value)


def test_what_a_fingerprint_depends_on(elastic: Place) -> None:
    plain = search_of(elastic.app()).mirrors.get("Item")
    bare = index_mapping(plain.document_cls)
    meta = dict(plain.mapping["_meta"])
    assert meta.pop("settings") and meta.pop("database")
    assert {**plain.mapping, "_meta": meta} == bare
    assert "analyzer" not in json.dumps(bare)
    shards = index_mapping(plain.document_cls, {"index.number_of_shards": 3})
    unused = index_mapping(plain.document_cls, {"analysis": ANALYSIS})
    default = index_mapping(
        plain.document_cls, {"analysis": {"analyzer": {"default": {"type": "standard"}}}}
    )
    assert shards == unused == bare
    assert default != bare

    app = elastic.app(
        **{
            "elasticsearch.index.settings_file": elastic.file({"analysis": ANALYSIS}),
            "nefertari_search.analyzer.Item.name": "mine",
        }
    )
    mirror = search_of(app).mirrors.get("Item")
    assert mirror.problem == "schema-mismatch"

    def fingerprint(**changed: Any) -> str:
        analysis = json.loads(json.dumps(ANALYSIS))
        for path, value in changed.items():
            group, name, parameter = path.split("__")
            analysis[group][name][parameter] = value
        mapping = index_mapping(mirror.document_cls, {"analysis": analysis})
        return str(mapping["_meta"]["fingerprint"])

    assert fingerprint() == mirror.fingerprint != plain.fingerprint
    assert fingerprint(analyzer__other__stopwords=["ever"]) == mirror.fingerprint
    assert fingerprint(filter__few__stopwords=["tiger"]) != mirror.fingerprint
    assert fingerprint(analyzer__mine__filter=["few"]) != mirror.fingerprint
    lines = mapping_diff(mirror.mapping, plain.mapping)
    assert lines == ["! name: analyzer the default in the index, mine by the settings"]
