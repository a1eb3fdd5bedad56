"""What the hooks of both engines have in common: some are trusted, and searches have one more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import Any, Optional

from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.interfaces.primary import Hook
from nefertari_search_tween.known_code import is_known, name_of


class RequestHooksBase(ABC):
    """See :class:`~nefertari_search_tween.interfaces.primary.RequestHooks`.

    :param trusted: names of hooks that are known to be the same for all requests.
    """

    def __init__(self, model: Any, trusted: Collection[str]) -> None:
        self.model = model
        self.trusted = frozenset(trusted)

    @abstractmethod
    def first(self) -> Optional[Hook]: ...

    def of_searches(self) -> Optional[Hook]:
        return self._untrusted(self._get_collection()) or self.first()

    def _get_collection(self) -> Iterable[Hook]:
        function = self.model.get_collection
        if not is_known(function):
            yield Hook(Reason.REQUEST_HOOKS, name_of(function))

    def _untrusted(self, hooks: Iterable[Hook]) -> Optional[Hook]:
        return next((hook for hook in hooks if hook.name not in self.trusted), None)
