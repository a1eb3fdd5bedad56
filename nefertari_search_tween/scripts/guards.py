"""nefertari-guards' own scripts, with the drop-in in place before they import what it replaces.

They import ``nefertari.elasticsearch`` before the application is made, which fails with current
clients. These have the same names and options.
"""

from __future__ import annotations

from typing import Any


def count_ace() -> Any:
    """Run ``nefertari-guards.count_ace``: print how many objects have an entry in their ACL."""
    from nefertari_guards.scripts.count_ace import main

    return main()


def update_ace() -> Any:
    """Run ``nefertari-guards.update_ace``: replace an entry in the ACLs of all objects."""
    from nefertari_guards.scripts.update_ace import main

    return main()
