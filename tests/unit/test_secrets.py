"""No log, error, output or ``repr`` contains a secret of the settings, whatever goes wrong.

Generated over all settings that can carry one, and over what may be wrong with them.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import transaction
from hypothesis import example, given
from hypothesis import strategies as st

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.scripts.main import cli
from nefertari_search_tween.settings.secrets import HIDDEN, masked, secrets_of
from nefertari_search_tween.settings.settings import Settings
from nefertari_search_tween.settings.table import FAMILIES, SETTINGS
from tests.apps.every_field import INI
from tests.support import apps
from tests.support.apps import search_of
from tests.support.forked import run_python
from tests.support.paths import TOP
from tests.support.tiers import mostly_long

pytestmark = pytest.mark.slow

SECRET = "s3cr3t-W0rd"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}
#: settings that are right, each with a secret
CARRIERS = {
    "elasticsearch.basic_auth": f"zoo:{SECRET}",
    "nefertari_search.cache": f"redis://zoo:{SECRET}@127.0.0.1:1/0",
    "zoo.payment_token": SECRET,
}
#: how an address with a password may be written into a setting, by mistake or not
FORMS = [
    "https://zoo:{}@search:9200",
    "zoo:{}@search:9200",
    "https://zoo:{}@search",
    "elasticsearch:https://zoo:{}@search:9200",
    "https://zoo:a,{}@search:9200",
    "https://search:9200?password={}",
    "https://zoo:{}",
    "redis://zoo:{}@host:many/0",
    "redis:/zoo:{}@host/0",
    "postgresql://zoo:a/{}@host/name",
]
#: values of sqlalchemy.url with which no application starts
BROKEN_URLS = [
    f"postgresql:/zoo:{SECRET}@127.0.0.1/zoo",
    f"postgresql//zoo:{SECRET}@127.0.0.1/zoo",
    f"zoo:{SECRET}@127.0.0.1/zoo",
    f"postgresql://zoo:{SECRET}",
    f"no-such-database://zoo:{SECRET}@127.0.0.1/zoo",
    f"postgresql://zoo:{SECRET}@127.0.0.1:port/zoo",
    f"postgresql://zoo:{SECRET}@127.0.0.1:1/zoo",
    f"postgresql://zoo:{SECRET}@nowhere.invalid/zoo",
    f"postgresql://zoo:{SECRET}@127.0.0.1:1/zoo?password={SECRET}",
    f"postgresql://zoo:{SECRET}@127.0.0.1:1/zoo?no_such_option={SECRET}",
    f"sqlite:///no/such/directory/{{}}?password={SECRET}",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [each.key for each in (*SETTINGS, *FAMILIES)])
def test_no_message_of_a_setting_repeats_an_address_with_a_password(key: str, form: str) -> None:
    """Neither of those that are to have one, nor of those that got it by mistake."""
    key = key.replace("MODEL", "Item").replace("FIELD", "name")
    lines: list[str] = []
    try:
        Settings({"elasticsearch.index_name": "zoo", key: form.format(SECRET)})
    except ConfigurationError as error:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    assert SECRET not in "".join(lines)
    assert not lines or key in lines[-1]


passwords = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@%*"), min_size=3
)


@given(password=passwords, form=st.sampled_from([each for each in FORMS if "@" in each]))
@example(password="a:b/c", form=FORMS[0])
@example(password="a://b", form=FORMS[1])
def test_the_password_of_an_address_is_found(password: str, form: str) -> None:
    text = form.replace("{}", password)
    assert f"{password}@" not in masked(f"can't read {text}", secrets_of({"any.url": text}))


def test_what_is_masked_is_the_secret_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth").write_text(f"zoo:{SECRET}")
    monkeypatch.setenv("ZOO_REDIS", f"redis://:{SECRET}2@cache:6379/0")
    settings = {
        "elasticsearch.basic_auth": f"file:{tmp_path}/auth",
        "nefertari_search.cache": "env:ZOO_REDIS",
        "sqlalchemy.url": "postgresql://zoo@127.0.0.1:5432/films",
        "elasticsearch.hosts": "http://search:9200",
        "auth": "false",
    }
    secrets = secrets_of(settings)

    message = "zoo at 127.0.0.1:5432/films: {}, {}, " + f"{tmp_path}/auth, search:9200, false"
    assert masked(message.format(SECRET, f"{SECRET}2"), secrets) == message.format(HIDDEN, HIDDEN)


# Objects


@pytest.fixture(params=["embedded", "elasticsearch", "opensearch"])
def search(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An application with secrets everywhere, none of whose servers answers."""
    if request.param == "opensearch":
        pytest.importorskip("opensearchpy")
    url = {
        "embedded": f"embedded:{tmp_path}/search",
        "elasticsearch": "http://127.0.0.1:1",
        "opensearch": "opensearch+http://127.0.0.1:1",
    }[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "level", logging.DEBUG)
        app = apps.zoo(f"sqlite:///{tmp_path}/zoo.sqlite", url, "zoo", **CARRIERS)
        app.post_json("/items", {"id": 1, "name": "Lion"}, status=201)
        app.get("/items?_sort=id")
        app.get("/items?q=lion", expect_errors=True)
        yield search_of(app)
    transaction.abort()


def test_no_log_line_has_a_secret(caplog: pytest.LogCaptureFixture, search: Any) -> None:
    formatter = logging.Formatter("%(name)s %(message)s")
    lines = [formatter.format(each) for each in caplog.get_records("setup") + caplog.records]
    assert lines
    assert [each for each in lines if SECRET in each] == []


def test_no_repr_has_a_secret(search: Any) -> None:
    """Of what lives as long as the application: ours, and the clients' of the libraries."""
    modules = (
        *("nefertari_search_tween", "elasticsearch", "elastic_transport", "opensearchpy"),
        *("redis", "dogpile", "sqlalchemy.engine", "sqlalchemy.pool", "pymongo"),
    )
    visited: set[int] = set()
    printed: set[str] = set()
    pending = [(search, 0)]
    while pending:
        each, depth = pending.pop()
        if id(each) in visited or depth > 7 or isinstance(each, (str, bytes, int, type)):
            continue
        visited.add(id(each))
        if isinstance(each, dict):
            pending.extend((value, depth + 1) for value in list(each.values()))
            continue
        if isinstance(each, (list, tuple, set, frozenset)):
            pending.extend((value, depth + 1) for value in each)
            if type(each) in (list, tuple, set, frozenset):
                continue
        if not type(each).__module__.startswith(modules):
            continue
        printed.add(type(each).__name__)
        assert SECRET not in repr(each), type(each)
        assert SECRET not in str(each), type(each)
        pending.extend((value, depth + 1) for value in list(getattr(each, "__dict__", {}).values()))
    assert {"SearchRuntime", "Settings", "Connection", "RedisBackend", "Redis"} <= printed


# Commands


def run(folder: Path, *arguments: str, **settings: str) -> Any:
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    ini = folder / "zoo.ini"
    ini.write_text(
        INI.replace("get sqlalchemy.url = database\n", "").replace(
            "auth = false\n", f"auth = false\n{lines}"
        )
    )
    return run_python(
        *("-m", "nefertari_search_tween.scripts.main", arguments[0], ini),
        *("index_name=zoo", f"backend=embedded:{folder}/search", *arguments[1:]),
        env=ENVIRONMENT,
    )


def commands() -> list[tuple[str, ...]]:
    """Each command with what makes it end, as text and as JSON."""
    more = {"worker": ("--help",), "triggers": ("--help",), "dead-letters": ("--help",)}
    result: list[tuple[str, ...]] = []
    for name, command in sorted(cli.commands.items()):
        if not isinstance(command, click.Group) and name not in more:
            result += [(name,), (name, "--json")]
    return result


@pytest.mark.parametrize(
    "arguments",
    mostly_long([(each,) for each in commands()], 4, pytest.mark.thorough),
    ids=" ".join,
)
def test_no_command_prints_a_secret(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(
        tmp_path, *arguments, **CARRIERS, **{"sqlalchemy.url": f"sqlite:///{tmp_path}/zoo.sqlite"}
    )
    assert done.returncode in (0, 1), done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("url", mostly_long(BROKEN_URLS, 3, pytest.mark.thorough))
def test_no_error_at_start_prints_the_url_of_the_database(tmp_path: Path, url: str) -> None:
    done = run(tmp_path, "status", **{"sqlalchemy.url": url})

    assert done.returncode != 0
    assert SECRET not in done.stdout + done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ") or "Traceback" in done.stderr


@pytest.mark.parametrize("form", mostly_long(FORMS, 3, pytest.mark.thorough))
@pytest.mark.parametrize("key", ["elasticsearch.hosts", "nefertari_search.backend"])
def test_no_error_at_start_prints_an_address(tmp_path: Path, key: str, form: str) -> None:
    if key == "nefertari_search.backend" and form != FORMS[0]:
        pytest.skip("one form: settings are tried above, here it is the command that prints them")
    settings = {"sqlalchemy.url": f"sqlite:///{tmp_path}/zoo.sqlite"}
    done = run(tmp_path, "status", **settings, **{key: form.format(SECRET)})
    assert SECRET not in done.stdout + done.stderr
