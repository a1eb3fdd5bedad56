"""A database that was restored from an older backup, beside an index that knows more.

Versions of documents come from the database's own counter, which only grows and is read after the
index: so a document can't have a higher one than the counter, unless the database forgot what it
had counted. Then it forgot changes, too, which the index still has; and the index would refuse what
is written with the lower versions, without an error: to it they are old news.

Both is put right here: the counter is raised above what the index has, and all of the model is
indexed again, what only the index knows is deleted. Until then its rows are pending, so that reads
go to the primary, as after any other change.
"""

from __future__ import annotations

import logging

from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.mirror import Mirror

log = logging.getLogger(__name__)

# Versions are signed 64-bit numbers; above this there is no room for those of later claims.
MAX_VERSION = 2**63 - 2**32


def recover(outbox: Outbox, mirror: Mirror, version: int) -> bool:
    """Return False if *version*, which the index has, comes from our counter; else recover.

    :param version: of a document of *mirror*; read before this call.
    """
    latest = outbox.sync_state(mirror.name).version
    if version <= latest:
        return False
    if version > MAX_VERSION:
        log.error(
            "the index of %s holds versions up to %d, and nothing can be written over them: run "
            "`nefertari-search rebuild`",
            mirror.name,
            version,
        )
        return False
    log.warning(
        "the index of %s knows newer changes than the database (version %d, the database's is %d): "
        "the database was restored from an older backup; all of %s is indexed again",
        mirror.name,
        version,
        latest,
        mirror.name,
    )
    outbox.raise_version(mirror.name, version)
    outbox.enqueue([Key.whole_model(mirror.name)])
    return True
