"""Updating what :mod:`verify` finds to match the primary."""

from __future__ import annotations

import logging
from itertools import chain
from typing import Any, Optional

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.exceptions import SearchError
from nefertari_search_tween.indexing.bulk_writer import build_actions
from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.indexing.restored import MAX_VERSION
from nefertari_search_tween.indexing.verify.verify import Differences, verify_keys
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.mirror import Mirror

log = logging.getLogger(__name__)


class VersionTooHigh(SearchError):
    """Documents have versions that no claim can reach."""


def record(outbox: Outbox, mirror: Mirror, differences: Differences) -> None:
    """Enqueue all that differs: the process that indexes it next updates it."""
    outbox.enqueue(Key(mirror.name, pk) for pk in differences.keys)


def repair(indexer: Indexer, mirror: Mirror, differences: Differences) -> Differences:
    """Update what differs now.

    A document whose version is above those of current claims (the clock was set back, the
    database was restored, it was written by hand) can't be replaced by a claim. The counter is
    raised above it then: for claims the index is right about what came last, and it is the
    primary that defines what is true.

    :returns: what still differs.
    :raises BackendError: the backend does not answer; what was not repaired is in the outbox.
    :raises VersionTooHigh: nothing can be above a version: the index has to be rebuilt.
    """
    outbox = indexer.outbox
    record(outbox, mirror, differences)
    indexer.drain()
    remaining = verify_keys(outbox, mirror, differences.keys)
    highest = _conflict(indexer, mirror, remaining.keys, differences.foreign)
    if highest is not None:
        if highest > MAX_VERSION:
            raise VersionTooHigh(
                f"documents of {mirror.name} have versions up to {highest}, and nothing can be "
                "written over them: rebuild it"
            )
        log.warning(
            "documents of %s have versions up to %d, above those of claims, which are raised",
            mirror.name,
            highest,
        )
        outbox.raise_version(mirror.name, highest)
        record(outbox, mirror, remaining)
        indexer.drain()
        _conflict(indexer, mirror, [], differences.foreign)
    if remaining.keys:
        remaining = verify_keys(outbox, mirror, remaining.keys)
    documents = mirror.backend.multi_get(mirror.alias, differences.foreign)
    remaining.foreign.extend(each for each in differences.foreign if documents[each] is not None)
    return remaining


def _conflict(
    indexer: Indexer, mirror: Mirror, pks: list[Any], foreign: list[str]
) -> Optional[int]:
    """Write *pks*, and delete the documents *foreign*, as a claim would.

    :returns: the highest version that conflicts, None if there is none.
    """
    if not pks and not foreign:
        return None
    # The version before the state, as every claim.
    version = indexer.outbox.next_version(mirror.name)
    conflicts = []
    # Not the cached list: it would be looked up outside of any claim (see rebuild/catch_up.py).
    for target in indexer.mirrors.write_targets(mirror):
        batch = chain(
            (
                action
                for part in mirror.reader.split(pks, indexer.chunk_size)
                for action in build_actions(mirror, target, version, part, mirror.reader.read(part))
            ),
            (BulkAction(target, each, version, None) for each in foreign),
        )
        # What is rejected is a stub already, and stays one.
        for item in mirror.backend.bulk(batch, indexer.chunk_size):
            if item.conflict is not None:
                conflicts.append(item.conflict)
    return max(conflicts, default=None)
