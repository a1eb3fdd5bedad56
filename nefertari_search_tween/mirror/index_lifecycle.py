"""The indices of an application at its start: checked, or created for empty tables."""

from __future__ import annotations

import logging
from typing import Callable

from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendUntrusted,
    ConfigurationError,
    ForeignIndex,
    MappingRefused,
    NameConflict,
    Reason,
    UnsupportedServer,
)
from nefertari_search_tween.mirror.circuit_breaker import MEANWHILE
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry

log = logging.getLogger(__name__)


def prepare_indices(
    mirrors: MirrorRegistry,
    schema: str = "create",
    is_pending: Callable[[Mirror], bool] = lambda mirror: False,
    index_all: Callable[[Mirror], None] = lambda mirror: None,
    check_version: Callable[[Mirror, int], object] = lambda mirror, version: None,
) -> None:
    """Check the indices when the application starts.

    A backend that does not answer is no error: the application starts and reads from the primary.
    One that denies access, or that can't be trusted, will do so until a setting is changed. A model
    whose documents it can't hold is left out: no index is made, and the others are not affected.

    :param schema: "create": create indices of empty tables, warn of what else is missing;
        "validate": create none; "none": check only whose they are.
    :param is_pending: returns True if all objects of a mirror are pending: then its table is as
        good as empty.
    :param index_all: called for a mirror whose index was created here, and whose table is not empty
        after that: a change of it may have been settled a moment before.
    :param check_version: called with a version that documents of a mirror have: the database's own
        can't be lower, unless it was restored from a backup.
    :raises ConfigurationError: credentials, certificates or the product of the server are wrong; an
        index belongs to another database; "validate", and an index is missing or of another schema.
    """
    problems = []
    for mirror in mirrors:
        try:
            mirrors.backend.require_supported()
            _claim(mirrors, mirror)
            if schema == "none":
                continue
            mirror.check_analyzers()
            if mirror.check():
                check_version(mirror, mirrors.backend.latest_version(mirror.alias))
                continue
            if mirror.problem == Reason.FOREIGN_INDEX:
                raise ForeignIndex(f"the index behind {mirror.alias} is of another database")
            new = schema == "create" and mirror.problem == Reason.NO_INDEX
            # Rows may be hidden from this process: then nothing is known to be empty.
            new = new and mirror.hooks.unreadable() is None
            if new and (_is_empty(mirror) or is_pending(mirror)):
                create_empty(mirrors, mirror)
                # What is committed from here on finds the index: its indexer looks for it after
                # the commit, and never caches that there is none.
                if not _is_empty(mirror):
                    index_all(mirror)
                continue
        except MappingRefused as error:
            log.warning(
                "%s has no mirror, and is read from the primary: %s (%s)",
                mirror.name,
                error,
                MEANWHILE,
            )
            continue
        except ForeignIndex as error:
            raise ConfigurationError(str(error)) from error
        except UnsupportedServer as error:
            raise ConfigurationError(f"elasticsearch.hosts: {error}") from error
        except BackendUntrusted as error:
            raise ConfigurationError(
                "no safe connection to the search server (see elasticsearch.hosts and "
                f"elasticsearch.ca_certs): {error}"
            ) from error
        except NameConflict as error:
            problems.append(str(error))
            continue
        except BackendDenied as error:
            if error.asks_for_credentials:
                raise ConfigurationError(str(error)) from error
            log.warning("the index of %s could not be checked: %s", mirror.name, error)
            continue
        except BackendRejected as error:
            log.warning("the index of %s could not be checked: %s", mirror.name, error)
            continue
        except BackendError as error:
            log.warning("the indices could not be checked: %s", error)
            mirrors.breaker.record_failure(error)
            break
        problem = {
            Reason.NO_INDEX: "not built",
            Reason.NAME_CONFLICT: f"not the only one with the alias {mirror.alias}",
        }.get(mirror.problem or Reason.NO_INDEX, "of another schema")
        problems.append(
            f"the search index of {mirror.name} is {problem}: run `nefertari-search rebuild`"
        )
    if problems and schema == "validate":
        raise ConfigurationError(f"nefertari_search.schema = validate: {'; '.join(problems)}")
    for problem in problems:
        log.warning("%s; until then %s", problem, MEANWHILE)


def _claim(mirrors: MirrorRegistry, mirror: Mirror) -> None:
    """Note our database in the indices of *mirror*, unless they are another's.

    :raises ForeignIndex: they are.
    """
    try:
        for name in mirrors.claim(mirror):
            log.warning(
                "%s does not say which database it was built from (an older release made it): it "
                "is taken for the one of this application from now on",
                name,
            )
    except BackendDenied as error:
        if error.asks_for_credentials:
            raise
        log.info("the index of %s can't be marked as this database's: %s", mirror.name, error)


def create_empty(mirrors: MirrorRegistry, mirror: Mirror) -> None:
    """Create the index of *mirror*, which searches use at once."""
    try:
        mirrors.create(mirror, mirrors.next_name(mirror), live=True)
    except BackendRejected:
        # Another process that starts at the same time was faster.
        if mirrors.backend.get_mapping(mirror.alias) is None:
            raise
        # Perhaps one of another database.
        mirrors.indices_of(mirror)
    mirror.check()


def _is_empty(mirror: Mirror) -> bool:
    try:
        return mirror.reader.count() == 0
    except Exception as error:  # noqa: BLE001 - e.g. a table that does not exist yet
        log.info("%s can't be counted: %s", mirror.name, error)
        return False
