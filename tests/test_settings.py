"""A bad setting stops the application with one clear line; every setting is documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pyramid.config import Configurator

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.settings import PREFIX, SETTINGS, Settings

TOP = Path(__file__).resolve().parents[1]
DOCUMENTED = TOP / "docs" / "settings.rst"
GOOD = {"elasticsearch.hosts": "127.0.0.1:9200", "elasticsearch.index_name": "zoo"}

BAD = [
    ("nefertari_search.backend", "solr"),
    ("nefertari_search.backend", "embedded"),
    ("nefertari_search.default", "database"),
    ("nefertari_search.default", "Mirror"),
    ("nefertari_search.sync", "later"),
    ("nefertari_search.schema", "update"),
    ("nefertari_search.consistency", "strong"),
    ("nefertari_search.fallback", "perhaps"),
    ("nefertari_search.timeout", "soon"),
    ("nefertari_search.timeout", "0"),
    ("nefertari_search.timeout", "-1"),
    ("nefertari_search.timeout", "nan"),
    ("nefertari_search.timeout", "inf"),
    ("nefertari_search.hidden_fields", "show"),
    ("nefertari_search.max_result_window", "0"),
    ("nefertari_search.max_result_window", "1.5"),
    ("nefertari_search.max_query_string", "10"),
    ("nefertari_search.max_clauses", "many"),
    ("nefertari_search.max_clauses", "0"),
    ("nefertari_search.leading_wildcards", "2"),
    ("nefertari_search.regular_expressions", "maybe"),
    ("elasticsearch.hosts", "localhost"),
    ("elasticsearch.hosts", "localhost:http"),
    ("elasticsearch.hosts", "a:9200,b"),
    ("elasticsearch.hosts", "http://localhost"),
    ("elasticsearch.chunk_size", "0"),
    ("elasticsearch.chunk_size", "lots"),
    ("elasticsearch.sniff", "sometimes"),
    ("elasticsearch.enable_refresh_query", "x"),
    ("elasticsearch.enable_aggregations", "x"),
    ("elasticsearch.enable_polymorphic_query", "x"),
    ("elasticsearch.index.settings_file", "/no/such/file.json"),
    ("elasticsearch.index_name", "Films"),
    ("elasticsearch.index_name", "_films"),
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


def test_every_setting_with_a_wrong_value_is_tried():
    tried = {key for key, _ in BAD}
    takes_anything = {"nefertari_search.models"}  # unknown names: see below
    assert {setting.key for setting in SETTINGS} == tried | takes_anything


@pytest.mark.parametrize(
    "key", ["nefertari_search.time_out", "nefertari_search.", "nefertari_search.models.x"]
)
def test_an_unknown_setting_stops_the_application(key):
    with pytest.raises(ConfigurationError) as raised:
        start(**{key: "1"})

    assert key in str(raised.value)
    assert "nefertari_search.timeout" in str(raised.value)  # what is known
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["elasticsearch.index.disable", "elasticsearch.http_auth", "auth"])
def test_settings_of_others_are_left_alone(key):
    start(**{key: "true"})


@pytest.mark.parametrize("backend", ["elasticsearch", "opensearch"])
def test_a_server_needs_an_address(backend):
    with pytest.raises(ConfigurationError, match=r"elasticsearch\.hosts"):
        start(**{"elasticsearch.hosts": "", "nefertari_search.backend": backend})


@pytest.mark.parametrize(
    ("given", "kind", "place"),
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
def test_where_mirrors_live(given, kind, place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings({"elasticsearch.index_name": "zoo", **given})

    assert settings.backend == (kind, None if place is None else str(tmp_path / place))
    assert settings.where == f"{kind} {tmp_path / place if place else '127.0.0.1:9200'}"


def test_where_mirrors_live_is_told_without_passwords():
    settings = Settings({**GOOD, "elasticsearch.hosts": "https://me:secret@search:9200"})
    assert settings.where == "elasticsearch search:9200"


@pytest.mark.parametrize(
    ("package", "prefix"), [("films", "films"), ("Films", "films"), ("my.app", "my.app")]
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


def test_index_settings_are_read(tmp_path):
    path = tmp_path / "index.json"
    path.write_text('{"index.number_of_replicas": 0}')
    settings = Settings({**GOOD, "elasticsearch.index.settings_file": str(path)})

    assert settings.index_settings_file == {"index.number_of_replicas": 0}


def test_values_are_converted():
    settings = Settings(
        {
            **GOOD,
            "elasticsearch.hosts": "a:1, https://b:2",
            "nefertari_search.timeout": " 2.5 ",
            "nefertari_search.fallback": "off",
            "nefertari_search.models": "Item, Keeper\nTag",
            "elasticsearch.chunk_size": "7",
        }
    )

    assert settings.hosts == ("http://a:1", "https://b:2")
    assert settings.timeout == 2.5
    assert settings.fallback is False
    assert settings.models == ("Item", "Keeper", "Tag")
    assert settings.chunk_size == 7


def test_every_default_is_a_value_that_its_own_converter_takes():
    settings = Settings(GOOD)
    for setting in SETTINGS:
        if setting.key not in GOOD and setting.attribute != "backend":
            assert getattr(settings, setting.attribute) == setting.convert(setting.default)


def test_every_setting_is_an_attribute_and_has_a_type():
    attributes = {setting.attribute for setting in SETTINGS}
    assert len(attributes) == len(SETTINGS)
    assert attributes == set(Settings.__annotations__)


@pytest.mark.parametrize(
    ("models", "named"), [("Nobody", "Nobody"), ("Item, Nobody,Nada", "Nobody, Nada")]
)
def test_a_model_that_does_not_exist_stops_the_application(tmp_path, models, named):
    # In a process of its own: models are global to a process.
    program = (
        "from tests.applications import zoo\n"
        f"zoo('sqlite:///{tmp_path}/zoo.sqlite', 'http://127.0.0.1:1', 'zoo',"
        f" **{{'nefertari_search.models': {models!r}}})\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "ConfigurationError" in last
    assert f"nefertari_search.models: there is no model {named}" in last


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
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

    assert documented == {setting.key for setting in SETTINGS}
    assert PREFIX + "timeout" in documented
