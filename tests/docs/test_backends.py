"""The examples of docs/backends.rst, section "In production", are settings that work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import certifi
import pytest
from pyramid.paster import get_appsettings

from nefertari_search_tween.backends.analysis import used
from nefertari_search_tween.settings.settings import Settings
from nefertari_search_tween.settings.table import SETTINGS
from tests.servers.elasticsearch import ROLES
from tests.support.paths import TOP

TEXT = (TOP / "docs" / "backends.rst").read_text(encoding="utf-8")
SECTION = TEXT.partition("\nIn production\n")[2].partition("\nWhat all backends guarantee\n")[0]


def blocks(language: str) -> list[str]:
    """The code blocks of the section in *language*, without their indent."""
    blocks = re.findall(rf"\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", SECTION)
    return [re.sub(r"(?m)^   ", "", block) for block in blocks]


def settings_of(folder: Path, ini: str) -> Settings:
    (folder / "app.ini").write_text(
        ini.replace("[app:main]", "[app:main]\nuse = call:tests.apps.every_field:main")
    )
    return Settings(get_appsettings(str(folder / "app.ini")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the examples name."""
    _, index, film = blocks("json")
    (tmp_path / "search-password").write_text("films:secret\n")
    (tmp_path / "search-ca.pem").write_text(Path(certifi.where()).read_text(encoding="utf-8"))
    (tmp_path / "index.json").write_text(index)
    (tmp_path / "film.json").write_text(film)
    return tmp_path


def test_several_nodes_users_and_tls(folder: Path) -> None:
    connection = settings_of(folder, blocks("ini")[0]).connection

    assert len(connection.hosts) == 3
    assert connection.secure
    assert connection.basic_auth == ("films", "secret")
    assert connection.ca_certs == str(folder / "search-ca.pem")
    assert (connection.compress, connection.retries) == (True, 2)
    assert connection.retry_on_timeout is False


def test_index_settings_and_analyzers(folder: Path) -> None:
    settings = settings_of(folder, blocks("ini")[1])

    assert settings.index_settings_file == {"index.number_of_replicas": 1}
    film = settings.model_index_settings["Film"]
    assert film["index.number_of_shards"] == 3
    assert settings.analyzer == "english"
    assert settings.analyzers == {"Person": "standard", "Film.title": "titles"}
    assert set(used(film, ["titles"])) == {"analyzer.titles", "filter.short"}


def test_there_are_no_other_examples() -> None:
    assert (len(blocks("ini")), len(blocks("json"))) == (2, 3)


def test_the_rights_of_the_application_are_those_that_the_suite_gives_it() -> None:
    """test_security.py runs an application with them."""
    role: Any = json.loads(blocks("json")[0])
    (rights,) = role["indices"]
    assert set(role) == {"indices"}
    tested = ROLES.partition("application:")[2].partition("reader:")[0]
    assert f"privileges: {json.dumps(rights['privileges'])}" in tested
    assert "cluster" not in tested


@pytest.mark.parametrize("name", sorted(set(re.findall(r"elasticsearch\.[a-z_.]+[a-z]", SECTION))))
def test_settings_that_are_named_exist(name: str) -> None:
    assert name in {setting.key for setting in SETTINGS}
