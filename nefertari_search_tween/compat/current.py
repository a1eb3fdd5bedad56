"""Which runtime serves this process.

Models and sessions are global in nefertari, so the application that was made last has them.
"""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.exceptions import Reason, SearchUnavailable


class Current:
    """The runtime of the application that was made last.

    :ivar runtime: None until an application has been made.
    :ivar startup_recorder: records what the first application indexes while it is being
        configured; None before and after.
    """

    runtime: Any = None
    startup_recorder: Any = None

    def require(self) -> Any:
        """Return the runtime.

        :raises SearchUnavailable: no application has been made yet.
        """
        if self.runtime is None:
            raise SearchUnavailable(Reason.NOT_STARTED, "The application has not been started yet.")
        return self.runtime

    def stop(self) -> None:
        """Stop what served until now: another application takes over."""
        self.startup_recorder = None
        if self.runtime is not None:
            self.runtime.stop()


CURRENT = Current()
