"""``nefertari-search COMMAND INI [key=value ...] [options]``.

Exit codes: 0 success; 1 problems (rejected documents, differing mappings, missing indices, changes
pending for too long); 2 wrong usage, a bad setting, a server that is down.
"""

from __future__ import annotations

from typing import Optional

import click

from nefertari_search_tween.scripts.build import (
    adopt_command,
    index_command,
    new_identity_command,
    rebuild_command,
)
from nefertari_search_tween.scripts.common import run_command
from nefertari_search_tween.scripts.dead_letters import dead_letters
from nefertari_search_tween.scripts.status import (
    explain_command,
    mapping_command,
    status_command,
)
from nefertari_search_tween.scripts.triggers import triggers
from nefertari_search_tween.scripts.verify import repair_command, verify_command
from nefertari_search_tween.scripts.worker import drain_command, worker_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nefertari-search-tween")
def cli() -> None:
    """Build, inspect and maintain the search indices of a nefertari application.

    INI is the application's ini file, optionally FILE#SECTION; key=value words after it
    replace values of its [DEFAULT] section, as with pserve.
    """


for command in (
    index_command,
    rebuild_command,
    status_command,
    mapping_command,
    explain_command,
    drain_command,
    worker_command,
    dead_letters,
    triggers,
    verify_command,
    repair_command,
    adopt_command,
    new_identity_command,
):
    cli.add_command(command)


def main(arguments: Optional[list[str]] = None) -> None:
    """Run the console script."""
    run_command(cli, arguments)


if __name__ == "__main__":
    main()
