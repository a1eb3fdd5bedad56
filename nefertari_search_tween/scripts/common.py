"""What every command does first and last: make the application, end with one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from pyramid.paster import bootstrap

from nefertari_search_tween.exceptions import SearchError

EXIT_PROBLEM = 1
EXIT_FAILURE = 2


class Failure(click.ClickException):
    """Ends the program with one line."""

    exit_code = EXIT_FAILURE


@contextmanager
def application(ini: str, variables: Iterable[str]) -> Iterator[Any]:
    """The search of the application that *ini* describes.

    A failure ends the program with one line that says what.
    """
    options = {}
    for each in variables:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"'{each}' is not of the form key=value")
        options[name] = value
    environment: dict[str, Any] = {}
    try:
        environment = bootstrap(ini, options=options)
        registry = environment["registry"]
        search = getattr(registry, "nefertari_search", None)
        if search is None:
            raise Failure(
                f"{ini} does not switch nefertari_search_tween on "
                "(pyramid.includes = nefertari_search_tween)"
            )
        yield search
    except (SearchError, OSError, LookupError) as error:
        raise Failure(str(error)) from error
    finally:
        if environment:
            environment["closer"]()
