"""What every command needs: the application, the selected mirrors, exit codes."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import click
from pyramid.paster import bootstrap, get_appsettings, setup_logging

from nefertari_search_tween.engine.search.runtime import EngineRuntime
from nefertari_search_tween.exceptions import BackendError, SearchError
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.runtime import SearchRuntime, validates
from nefertari_search_tween.settings.secrets import masked, secrets_of

EXIT_PROBLEM = 1
EXIT_FAILURE = 2
# They warn of every failed attempt; a worker reports once, unless the ini file sets their levels.
_CLIENTS = ("elastic_transport", "opensearch")


#: of the application that the command is about; no message contains them
_secrets: set[str] = set()


class CommandError(click.ClickException):
    """Ends the program with a one-line message."""

    exit_code = EXIT_FAILURE

    def format_message(self) -> str:
        return masked(self.message, _secrets)


def basic(function: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments and options of all commands to *function*."""
    for decorate in (
        click.argument("variables", nargs=-1, metavar="[key=value ...]"),
        click.argument("ini"),
        click.option("--json", "as_json", is_flag=True, help="One JSON object for machines."),
    ):
        function = decorate(function)
    return function


def common(function: Callable[..., None]) -> Callable[..., None]:
    """Add those of commands that work on selected models to *function*."""
    models = click.option("--models", default="", help="Only these models: names joined by commas.")
    return basic(models(function))


#: of commands that read all objects of models
processes = click.option(
    "--processes",
    default=1,
    type=click.IntRange(1),
    help="Processes that share the work on each model; one for each core, at most.",
)


def run_command(command: click.Command, arguments: Optional[list[str]]) -> None:
    """Run *command*; report a backend's error in one line."""
    try:
        command(arguments)
    except BackendError as error:
        click.echo(f"Error: {masked(str(error), _secrets)}", err=True)
        sys.exit(EXIT_FAILURE)


def parse_variables(variables: Iterable[str]) -> dict[str, str]:
    """Return ``key=value`` words as a dict.

    :raises click.UsageError: a word has another form.
    """
    options = {}
    for each in variables:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"'{each}' is not of the form key=value")
        options[name] = value
    return options


def configure_logging(ini: str, variables: Iterable[str]) -> None:
    """Log as the ini file configures, for long-running programs; others print their results."""
    try:
        setup_logging(ini, global_conf=parse_variables(variables))
    except (OSError, LookupError) as error:
        raise CommandError(first_line(error)) from error
    for name in _CLIENTS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)


@contextmanager
def application(ini: str, variables: Iterable[str], alone: bool = False) -> Iterator[SearchRuntime]:
    """Provide the runtime of the application that *ini* describes.

    A failure ends the program with a one-line message.

    :param alone: the command also works for an application whose database is this package's
        engine, which has indices but no mirrors.
    """
    options = parse_variables(variables)
    environment: dict[str, Any] = {}
    # The command itself reports or repairs indices that differ.
    token = validates.set(False)
    try:
        _secrets.update(secrets_of(get_appsettings(ini, options=options)))
        environment = bootstrap(ini, options=options)
        registry = environment["registry"]
        runtime = getattr(registry, "nefertari_search", None)
        if runtime is None:
            raise CommandError(
                f"{ini} does not enable nefertari_search_tween "
                "(pyramid.includes = nefertari_search_tween)"
            )
        if isinstance(runtime, EngineRuntime) and not alone:
            name = click.get_current_context().info_name
            raise CommandError(
                f"{ini} has no mirrors, so there is nothing for '{name}' to do: its only database "
                "is the search index itself (nefertari.engine = nefertari_search_tween.engine)"
            )
        yield runtime
    except _faults() as error:
        raise CommandError(first_line(error)) from error
    except click.ClickException:
        raise
    except Exception as error:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        if masked(text, _secrets) == text:
            raise
        # A traceback with all errors that led to this one would show what none may show.
        raise CommandError(f"{type(error).__name__}: {first_line(error)}") from None
    finally:
        validates.reset(token)
        if environment:
            environment["closer"]()


def first_line(error: Exception) -> str:
    """Return the message of *error* without further lines, in which databases add statements."""
    return (str(error) or repr(error)).splitlines()[0]


def _faults() -> tuple[type[Exception], ...]:
    """Return the errors that are reported in one line, including those of a database."""
    types: list[type[Exception]] = [SearchError, OSError, LookupError]
    # Only those of the primary in use; the other driver need not be installed.
    for module, name in (("sqlalchemy.exc", "DBAPIError"), ("pymongo.errors", "PyMongoError")):
        if module in sys.modules:
            types.append(getattr(sys.modules[module], name))
    return tuple(types)


def mirrors_named(runtime: SearchRuntime, models: str) -> list[Mirror]:
    """Return the mirrors of *models* (names joined by commas), all if it is empty.

    :raises click.UsageError: a mirror does not exist.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [name for name in names if name not in runtime.mirrors]
    if unknown:
        raise click.UsageError(
            f"no mirror of {', '.join(unknown)}; there are: "
            + ", ".join(mirror.name for mirror in runtime.mirrors)
        )
    return [mirror for mirror in runtime.mirrors if not names or mirror.name in names]
