"""What every command needs: the application, the chosen mirrors, exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable

import click
from pyramid.paster import bootstrap, setup_logging

from nefertari_search_tween.engine.search.runtime import EngineRuntime
from nefertari_search_tween.exceptions import SearchError
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.runtime import SearchRuntime, validates

EXIT_PROBLEM = 1
EXIT_FAILURE = 2
# They warn of every attempt that fails; a worker tells once, unless the ini file sets their levels.
_CLIENTS = ("elastic_transport", "opensearch")


class CommandError(click.ClickException):
    """Ends the program with one line."""

    exit_code = EXIT_FAILURE


def common(function: Callable[..., None]) -> Callable[..., None]:
    """Arguments and options that every command has."""
    for decorate in (
        click.argument("variables", nargs=-1, metavar="[key=value ...]"),
        click.argument("ini"),
        click.option("--models", default="", help="Only these models: names joined by commas."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object for machines."),
    ):
        function = decorate(function)
    return function


def assigned(variables: Iterable[str]) -> dict[str, str]:
    """``key=value`` words as a dict.

    :raises click.UsageError: one is no such word.
    """
    options = {}
    for each in variables:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"'{each}' is not of the form key=value")
        options[name] = value
    return options


def log_as_served(ini: str, variables: Iterable[str]) -> None:
    """Log as the ini file says, for programs that run for long; others print what they have to
    say."""
    try:
        setup_logging(ini, global_conf=assigned(variables))
    except (OSError, LookupError) as error:
        raise CommandError(first_line(error)) from error
    for name in _CLIENTS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)


@contextmanager
def application(ini: str, variables: Iterable[str], alone: bool = False) -> Iterator[SearchRuntime]:
    """The search of the application that *ini* describes.

    A failure ends the program with one line that says what.

    :param alone: the command has something to do for an application whose database is this
        package's engine: it has indices, but no mirrors.
    """
    options = assigned(variables)
    environment: dict[str, Any] = {}
    # What an index must be like is this command's to say, or to mend.
    token = validates.set(False)
    try:
        environment = bootstrap(ini, options=options)
        registry = environment["registry"]
        search = getattr(registry, "nefertari_search", None)
        if search is None:
            raise CommandError(
                f"{ini} does not switch nefertari_search_tween on "
                "(pyramid.includes = nefertari_search_tween)"
            )
        if isinstance(search, EngineRuntime) and not alone:
            name = click.get_current_context().info_name
            raise CommandError(
                f"{ini} has no mirrors, so there is nothing for '{name}' to do: its only database "
                "is the search index itself (nefertari.engine = nefertari_search_tween.engine)"
            )
        yield search
    except _faults() as error:
        raise CommandError(first_line(error)) from error
    finally:
        validates.reset(token)
        if environment:
            environment["closer"]()


def first_line(error: Exception) -> str:
    """What *error* says; those of databases have the statement in further lines."""
    return (str(error) or repr(error)).splitlines()[0]


def _faults() -> tuple[type[Exception], ...]:
    """What is told in one line, a database that is down included."""
    found: list[type[Exception]] = [SearchError, OSError, LookupError]
    # Only of the primary that there is; the other one's driver need not be installed.
    for module, name in (("sqlalchemy.exc", "DBAPIError"), ("pymongo.errors", "PyMongoError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def chosen(search: SearchRuntime, models: str) -> list[Mirror]:
    """The mirrors that *models* (names joined by commas) names; all when it is empty.

    :raises click.UsageError: there is no such mirror.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [name for name in names if name not in search.mirrors]
    if unknown:
        raise click.UsageError(
            f"no mirror of {', '.join(unknown)}; there are: "
            + ", ".join(mirror.name for mirror in search.mirrors)
        )
    return [mirror for mirror in search.mirrors if not names or mirror.name in names]
