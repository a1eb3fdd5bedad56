"""A bad setting stops the application with one clear line; every setting is documented."""

from __future__ import annotations

import traceback

import certifi
import pytest
from pyramid.config import Configurator

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.settings.settings import Settings
from nefertari_search_tween.settings.table import FAMILIES, PREFIX, SETTINGS
from tests.support.apps import zoo
from tests.support.paths import TOP

DOCUMENTED = TOP / "docs" / "settings.rst"
GOOD = {"elasticsearch.hosts": "127.0.0.1:9200", "elasticsearch.index_name": "zoo"}

BAD = [
    ("nefertari_search.backend", "solr"),
    ("nefertari_search.backend", "embedded"),
    ("nefertari_search.read_from", "database"),
    ("nefertari_search.read_from", "Mirror"),
    ("nefertari_search.sync", "later"),
    ("nefertari_search.schema", "update"),
    ("nefertari_search.consistency", "strong"),
    ("nefertari_search.fallback_to_primary", "perhaps"),
    ("nefertari_search.cache_megabytes", "0"),
    ("nefertari_search.cache_ttl", "-1"),
    ("nefertari_search.q", "sql"),
    ("nefertari_search.synonyms", "/no/such/file"),
    ("nefertari_search.similar_below", "-1"),
    ("nefertari_search.highlight_tags", "<em>"),
    ("nefertari_search.highlight_size", "0"),
    ("nefertari_search.highlight_count", "-1"),
    ("nefertari_search.search_fields.Item", ","),
    ("nefertari_search.search_fields.Item", "name^x"),
    ("nefertari_search.search_timeout", "soon"),
    ("nefertari_search.search_timeout", "0"),
    ("nefertari_search.search_timeout", "-1"),
    ("nefertari_search.search_timeout", "nan"),
    ("nefertari_search.search_timeout", "inf"),
    ("nefertari_search.primary_timeout", "0"),
    ("nefertari_search.primary_timeout", "never"),
    ("nefertari_search.max_limit", "0"),
    ("nefertari_search.max_limit", "all"),
    ("nefertari_search.hidden_fields", "show"),
    ("nefertari_search.trusted_hooks", "stories.models:Boss.to_dict"),
    ("nefertari_search.trusted_members", "boxes"),
    ("nefertari_search.trusted_members", "Shelf.boxes.number"),
    ("nefertari_search.max_result_window", "0"),
    ("nefertari_search.max_result_window", "1.5"),
    ("nefertari_search.max_query_string", "10"),
    ("nefertari_search.max_clauses", "many"),
    ("nefertari_search.max_clauses", "0"),
    ("nefertari_search.max_buckets", "0"),
    ("nefertari_search.allow_leading_wildcards", "2"),
    ("nefertari_search.allow_regular_expressions", "maybe"),
    ("elasticsearch.hosts", "localhost"),
    ("elasticsearch.hosts", "localhost:http"),
    ("elasticsearch.hosts", "a:9200,b"),
    ("elasticsearch.hosts", "http://localhost"),
    ("elasticsearch.hosts", "ftp://localhost:9200"),
    ("elasticsearch.hosts", "http://a:9200,https://b:9200"),
    ("elasticsearch.hosts", "http://a:9200?x=1"),
    ("elasticsearch.hosts", "http://a:99999"),
    ("elasticsearch.ca_certs", "/no/such/file.pem"),
    ("elasticsearch.ca_certs", __file__),
    ("elasticsearch.verify_certs", "never"),
    ("elasticsearch.compress", "gzip"),
    ("elasticsearch.retries", "-1"),
    ("elasticsearch.retries", "often"),
    ("elasticsearch.retry_on_timeout", "once"),
    ("elasticsearch.write_timeout", "0"),
    ("elasticsearch.chunk_size", "0"),
    ("elasticsearch.chunk_size", "lots"),
    ("elasticsearch.sniff", "sometimes"),
    ("elasticsearch.enable_refresh_query", "x"),
    ("elasticsearch.enable_aggregations", "x"),
    ("elasticsearch.enable_polymorphic_query", "x"),
    ("elasticsearch.index.settings_file", "/no/such/file.json"),
    ("nefertari_search.analyzer", "two words"),
    ("nefertari_search.analyzer.Item", "two words"),
    ("nefertari_search.analyzer.Item.name", "two words"),
    ("nefertari_search.index_settings.Item", "/no/such/file.json"),
    ("elasticsearch.index_name", "Films"),
    *(
        ("elasticsearch.index_name", name)
        for name in (
            *("_films", "-films", "+films", ".films", "..", "*", "films*", "fi?ms", "a,b", "a:b"),
            *("films#1", "a/b", "a\\b", '"films"', "<films>", "a|b", "two words", "a%2cb", "ünïÇ"),
        )
    ),
    ("elasticsearch.hosts", "a:9200, b:9200, a:9200"),
    ("elasticsearch.hosts", "a:9200 http://A:09200/"),
    ("elasticsearch.hosts", "https://a:9200/x,HTTPS://a:9200/x/"),
]


# Values that no message may show, with what it says instead.
SECRET = [
    ("elasticsearch.hosts", "https://user:s3cr3t@a:9200", "no credentials in an address"),
    ("elasticsearch.hosts", "user:s3cr3t@a:9200", "belong in elasticsearch.basic_auth"),
    ("elasticsearch.basic_auth", "s3cr3t", "must be user:password"),
    ("elasticsearch.basic_auth", ":s3cr3t", "must be user:password"),
    ("elasticsearch.basic_auth", "s3cr3t:", "must be user:password"),
    ("nefertari_search.cache", "http://s3cr3t@localhost:80", "must be empty, memory, or a URL"),
    ("nefertari_search.cache", "redis://s3cr3t@localhost:many/0", "must be empty, memory, or a"),
    ("nefertari_search.cache", "redis:s3cr3t", "must be empty, memory, or a URL"),
    ("elasticsearch.api_key", "s3cr3t words", "must be one word"),
    ("elasticsearch.api_key", "s3cr3t\u00e4", "must be one word"),
]
# Where a secret is said to be, and what is wrong with that.
NO_SECRET = [
    ("env:NO_SUCH_VARIABLE", "the environment has no variable 'NO_SUCH_VARIABLE'"),
    ("file:/no/such/file", "can't read the file '/no/such/file': No such file or directory"),
    ("file:/", "can't read the file '/': Is a directory"),
    ("env:", "the environment has no variable ''"),
]


def start(**settings):
    """What happens when an application is made: the package is included."""
    Configurator(settings={**GOOD, "pyramid.includes": "nefertari_search_tween", **settings})


def test_good_settings_are_accepted():
    start()


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_stops_the_application_with_one_line(key, value):
    with pytest.raises(ConfigurationError) as raised:
        start(**{key: value})

    message = str(raised.value)
    assert "\n" not in message
    assert key in message
    assert value in message


@pytest.mark.parametrize(("key", "value", "says"), SECRET)
def test_a_bad_secret_is_not_shown(key, value, says):
    with pytest.raises(ConfigurationError) as raised:
        start(**{key: value})

    assert str(raised.value).startswith(f"{key}: ")
    assert says in str(raised.value)
    lines = traceback.format_exception(type(raised.value), raised.value, raised.tb)
    assert "s3cr3t" not in "".join(lines)


@pytest.mark.parametrize(
    "key", ["elasticsearch.basic_auth", "elasticsearch.api_key", "nefertari_search.cache"]
)
@pytest.mark.parametrize(("value", "says"), NO_SECRET)
def test_a_secret_that_is_not_there(key, value, says):
    with pytest.raises(ConfigurationError) as raised:
        start(**{key: value})

    assert str(raised.value) == f"{key}: {says}"


def test_an_empty_file_holds_no_secret(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        start(**{"elasticsearch.basic_auth": f"file:{tmp_path / 'empty'}"})


def test_secrets_come_from_the_environment_and_from_files(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_KEY", "a2V5OnNlY3JldA==")
    (tmp_path / "auth").write_text("zoo:pass:w\u00f6rd\n", encoding="utf-8")

    by_key = Settings({**GOOD, "elasticsearch.api_key": "env:ZOO_KEY"})
    by_user = Settings({**GOOD, "elasticsearch.basic_auth": f"file:{tmp_path / 'auth'}"})
    plain = Settings({**GOOD, "elasticsearch.basic_auth": "zoo:word"})

    assert by_key.connection.api_key == "a2V5OnNlY3JldA=="
    assert by_key.connection.basic_auth is None
    assert by_user.connection.basic_auth == ("zoo", "pass:w\u00f6rd")
    assert plain.connection.basic_auth == ("zoo", "word")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"elasticsearch.api_key": "a2V5", "elasticsearch.basic_auth": "zoo:s3cr3t"},
            "elasticsearch.api_key and elasticsearch.basic_auth are both set",
        ),
        (
            {"elasticsearch.api_key": "a2V5", "nefertari_search.backend": "opensearch"},
            "OpenSearch has no API keys, set elasticsearch.basic_auth",
        ),
        (
            {"elasticsearch.ca_certs": certifi.where()},
            "elasticsearch.ca_certs is set, but elasticsearch.hosts are not https:// URLs",
        ),
        (
            {"elasticsearch.hosts": "http://a:9200/path", "elasticsearch.sniff": "true"},
            "elasticsearch.sniff = true: nodes behind a path",
        ),
    ],
)
def test_settings_that_rule_each_other_out(settings, says):
    with pytest.raises(ConfigurationError) as raised:
        start(**settings)

    assert says in str(raised.value)
    assert "s3cr3t" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_setting_with_a_wrong_value_is_tried():
    tried = {key for key, _ in BAD} | {key for key, _, _ in SECRET}
    takes_anything = {"nefertari_search.models"}  # unknown names: see below
    families = {key.replace("Item", "MODEL").replace("name", "FIELD") for key in tried}
    of_families = {key for key in tried if key.endswith((".Item", ".Item.name"))}
    assert {setting.key for setting in SETTINGS} == tried - of_families | takes_anything
    assert {setting.key for setting in FAMILIES} <= families


@pytest.mark.parametrize(
    "key",
    [
        "nefertari_search.time_out",
        "nefertari_search.",
        "nefertari_search.models.x",
        "nefertari_search.analyzer.",
        "nefertari_search.analyzer.Item.name.keyword",
        "nefertari_search.analyzers.Item",
        "nefertari_search.index_settings",
        "nefertari_search.index_settings.Item.name",
    ],
)
def test_an_unknown_setting_stops_the_application(key):
    with pytest.raises(ConfigurationError) as raised:
        start(**{key: "1"})

    assert key in str(raised.value)
    assert "nefertari_search.search_timeout" in str(raised.value)  # what is known
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["elasticsearch.index.disable", "elasticsearch.http_auth", "auth"])
def test_settings_of_others_are_left_alone(key):
    start(**{key: "true"})


@pytest.mark.parametrize("backend", ["elasticsearch", "opensearch"])
def test_a_server_needs_an_address(backend):
    with pytest.raises(ConfigurationError, match=r"elasticsearch\.hosts"):
        start(**{"elasticsearch.hosts": "", "nefertari_search.backend": backend})


@pytest.mark.parametrize(
    ("values", "kind", "folder"),
    [
        ({"elasticsearch.hosts": "127.0.0.1:9200"}, "elasticsearch", None),
        ({}, "embedded", "zoo-search"),
        ({"nefertari_search.backend": "embedded:here/it/is"}, "embedded", "here/it/is"),
        (
            {"elasticsearch.hosts": "127.0.0.1:9200", "nefertari_search.backend": "opensearch"},
            "opensearch",
            None,
        ),
        (
            {"elasticsearch.hosts": "127.0.0.1:9200", "nefertari_search.backend": "embedded:x"},
            "embedded",
            "x",
        ),
    ],
)
def test_where_mirrors_live(values, kind, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings({"elasticsearch.index_name": "zoo", **values})

    assert settings.backend == (kind, None if folder is None else str(tmp_path / folder))
    assert settings.where == f"{kind} {tmp_path / folder if folder else '127.0.0.1:9200'}"


def test_where_mirrors_live_is_told_without_passwords():
    settings = Settings(
        {
            **GOOD,
            "elasticsearch.hosts": "https://search:9200",
            "elasticsearch.basic_auth": "me:secret",
        }
    )
    assert settings.where == "elasticsearch search:9200"


@pytest.mark.parametrize(
    ("package", "prefix"),
    [("films", "films"), ("Films", "films"), ("my.app", "my.app"), ("my_app2", "my_app2")],
)
def test_indices_are_named_after_the_package(package, prefix):
    assert Settings({}, package).index_name == prefix


@pytest.mark.parametrize("package", ["", "__main__"])
def test_a_package_that_gives_no_name(package):
    with pytest.raises(ConfigurationError, match=r"elasticsearch\.index_name"):
        Settings({}, package)


@pytest.mark.parametrize("content", ["[1]", "{", '"text"'])
def test_index_settings_must_be_one_json_object(tmp_path, content):
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"index\.settings_file"):
        start(**{"elasticsearch.index.settings_file": str(path)})


@pytest.mark.parametrize(
    "content",
    [
        '{"index.number_of_replicas": 0}',
        '{"number_of_replicas": 0}',
        '{"index": {"number_of_replicas": 0}}',
        '{"settings": {"index": {"number_of_replicas": 0}}}',
        '{"settings": {"index.number_of_replicas": 0}}',
    ],
)
def test_index_settings_are_read(tmp_path, content):
    path = tmp_path / "index.json"
    path.write_text(content)
    settings = Settings(
        {
            **GOOD,
            "elasticsearch.index.settings_file": str(path),
            "nefertari_search.index_settings.Item": str(path),
        }
    )

    assert settings.index_settings_file == {"index.number_of_replicas": 0}
    assert settings.model_index_settings == {"Item": {"index.number_of_replicas": 0}}
    assert settings.index_settings_file.path == str(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"number_of_shards": 1, "index.number_of_shards": 2}', "'index.number_of_shards' is set"),
        ('{"number_of_shards": 1, "number_of_shards": 2}', "'number_of_shards' is repeated"),
        ('{"settings": {}, "aliases": {}}', "'aliases' is beside 'settings'"),
        ('{"mappings": {}}', "'mappings' is not an index setting"),
        ('{"settings": 1}', "'settings' must be a JSON object"),
    ],
)
@pytest.mark.parametrize(
    "key", ["elasticsearch.index.settings_file", "nefertari_search.index_settings.Item"]
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(tmp_path, key, content, says):
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        start(**{key: str(path)})

    assert key in str(raised.value)
    assert str(path) in str(raised.value)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_analyzers_are_read():
    settings = Settings(
        {
            **GOOD,
            "nefertari_search.analyzer": "english",
            "nefertari_search.analyzer.Item": "french",
            "nefertari_search.analyzer.Item.name": "german",
        }
    )

    assert settings.analyzer == "english"
    assert settings.analyzers == {"Item": "french", "Item.name": "german"}


def test_values_are_converted():
    settings = Settings(
        {
            **GOOD,
            "elasticsearch.hosts": "a:1, http://b:2/\n[::1]:3/path",
            "nefertari_search.search_timeout": " 2.5 ",
            "nefertari_search.fallback_to_primary": "off",
            "nefertari_search.models": "Item, Keeper\nTag",
            "elasticsearch.chunk_size": "7",
        }
    )

    assert settings.hosts == ("http://a:1", "http://b:2", "http://[::1]:3/path")
    assert settings.search_timeout == 2.5
    assert settings.fallback_to_primary is False
    assert settings.models == ("Item", "Keeper", "Tag")
    assert settings.chunk_size == 7


def test_every_default_is_a_value_that_its_own_converter_takes():
    settings = Settings(GOOD)
    for setting in SETTINGS:
        if setting.key not in GOOD and setting.attribute != "backend":
            assert getattr(settings, setting.attribute) == setting.convert(setting.default)


def test_every_setting_is_an_attribute():
    attributes = {setting.attribute for setting in SETTINGS}
    assert len(attributes) == len(SETTINGS)
    composites = {"connection", "analyzers", "model_index_settings", "search_fields"}
    assert attributes | composites == set(vars(Settings(GOOD)))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("models", "Nobody", "there is no model Nobody"),
        ("models", "Item, Nobody,Nada", "there is no model Nobody, Nada"),
        ("analyzer.Nobody", "english", "Nobody is no model"),
        ("analyzer.Nobody.name", "english", "Nobody is no model"),
        ("analyzer.Plain", "english", "Plain is in no mirror"),
        ("analyzer.Item.nothing", "english", "Item has no field 'nothing'"),
        ("analyzer.Item.count", "english", "the IntegerField 'count' has no text to analyze"),
        ("analyzer.Item.keeper", "english", "the Relationship 'keeper' has no text to analyze"),
        ("analyzer.Item.options", "english", "the DictField 'options' has no text to analyze"),
        ("index_settings.Nobody", "FILE", "Nobody is no model"),
        ("index_settings.Label", "FILE", "Label is not mirrored"),
    ],
)
def test_a_model_or_field_that_does_not_exist_stops_the_application(tmp_path, key, value, says):
    (tmp_path / "index.json").write_text("{}")
    value = value.replace("FILE", str(tmp_path / "index.json"))
    with pytest.raises(ConfigurationError) as caught:
        zoo(
            f"sqlite:///{tmp_path}/zoo.sqlite",
            f"embedded:{tmp_path}/search",
            "zoo",
            **{f"nefertari_search.{key}": value},
        )
    assert f"nefertari_search.{key}: {says}" in str(caught.value)


@pytest.mark.parametrize("setting", [*SETTINGS, *FAMILIES], ids=lambda setting: setting.key)
def test_every_setting_is_documented(setting):
    rows = DOCUMENTED.read_text(encoding="utf-8").split("\n   * - ")
    row = next((each for each in rows if each.startswith(f"``{setting.key}``")), None)

    assert row is not None, f"{setting.key} is not in docs/settings.rst"
    cells = [" ".join(cell.split()) for cell in row.split("\n\n")[0].split("\n     - ")]
    assert cells[1] == (f"``{setting.default}``" if setting.default else "(empty)")
    assert cells[2] == setting.doc.replace("\n", " ")


def test_nothing_is_documented_that_does_not_exist():
    text = DOCUMENTED.read_text(encoding="utf-8")
    documented = {line.split("``")[1] for line in text.splitlines() if line.startswith("   * - ``")}

    assert documented == {setting.key for setting in (*SETTINGS, *FAMILIES)}
    assert PREFIX + "search_timeout" in documented
