"""Files that nobody but their owner can read.

Mirrors hold what no response may show (the hash of a password, a hidden field), so the files that
they live in are for the user alone whose processes open them, whatever the umask of any process
that ever made one: the directory 0700, its files 0600.

SQLite gives the files that it makes beside a database (``-wal``, ``-shm``, ``-journal``) the mode
of the database, so that one is made here, before SQLite opens it. Its temporary files are 0600 and
have no name any more once they are open.

There is one exception, and the administrator makes it: a directory with the set-group-ID bit and
the right to write for the group (``chmod 2770``) is shared by this group on purpose, so its files
are 0660. Other users can read neither.

What an older release has left is tightened at the first connection. A directory that holds other
files, too, is not ours alone: its mode stays, those of our files count.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile

log = logging.getLogger(__name__)

#: What SQLite appends to the name of a database for the files beside it.
SUFFIXES = ("", "-wal", "-shm", "-journal")
_SHARED = stat.S_ISGID | stat.S_IWGRP
# Paths that this process may not change: each thread's connection would warn of them.
_reported: set[str] = set()


def make_private(directory: str, file_name: str) -> None:
    """Create *directory* and the database file in it if they are missing; make both private.

    :raises OSError: they can't be created.
    """
    try:
        os.makedirs(directory, mode=0o700)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise
    else:
        # A umask takes rights away, the owner's, too.
        os.chmod(directory, 0o700)
    shared = os.stat(directory).st_mode & _SHARED == _SHARED
    if all(name.startswith(file_name) for name in os.listdir(directory)):
        _tighten(directory, 0o770 if shared else 0o700)
    path = os.path.join(directory, file_name)
    mode = 0o660 if shared else 0o600
    if not os.path.exists(path):
        _create(path, mode)
    for suffix in SUFFIXES:
        _tighten(path + suffix, mode)


def _create(path: str, mode: int) -> None:
    """Create an empty file, unless another process is faster.

    Under another name first: POSIX takes a process's locks on a file when it closes any descriptor
    of it, so no descriptor must ever be of a file that a connection may have locked.
    """
    handle, name = tempfile.mkstemp(prefix=os.path.basename(path), dir=os.path.dirname(path))
    os.close(handle)
    try:
        os.chmod(name, mode)
        os.link(name, path)
    except FileExistsError:
        log.debug("%s was created by another process", path)
    finally:
        os.unlink(name)


def _tighten(path: str, mode: int) -> None:
    """Take from *path* all rights that *mode* has not."""
    try:
        current = stat.S_IMODE(os.stat(path).st_mode)
        excess = current & 0o777 & ~mode
        if not excess:
            return
        os.chmod(path, current & ~excess)
    except FileNotFoundError:
        # The last connection of another process has deleted it.
        return
    except PermissionError as error:
        if path not in _reported:
            _reported.add(path)
            log.warning("other users can read %s (mode %o): %s", path, current, error)
        return
    log.warning("other users could read %s (mode %o): its mode is %o now", path, current, mode)
