"""Which models have mirrors: those that settings, an index of nefertari's or a decorator name."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any, Optional

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.primary_engine import Primary
from nefertari_search_tween.mirror.decorator import marked

log = logging.getLogger(__name__)


def is_selected(model: Any, names: Collection[str]) -> bool:
    """Return True if *model* is to be mirrored.

    :param names: the setting ``nefertari_search.models``.
    """
    if names:
        return model.__name__ in names or "*" in names
    return bool(getattr(model, "_index_enabled", False)) or marked(model)


def select_models(primary: Primary, names: Collection[str]) -> list[Any]:
    """Return the models to mirror, by name.

    :param names: the setting ``nefertari_search.models``.
    :raises ConfigurationError: it names a model that does not exist or can't be mirrored.
    """
    unknown = [name for name in names if name != "*" and name not in primary.models]
    if unknown:
        raise ConfigurationError(f"nefertari_search.models: there is no model {', '.join(unknown)}")
    selected = []
    for name, model in sorted(primary.models.items()):
        if not is_selected(model, names):
            continue
        problem = primary.unmirrorable(model) or _unusable(primary, model)
        if problem is None:
            selected.append(model)
        elif name in names:
            raise ConfigurationError(f"nefertari_search.models: {name} {problem}")
        else:
            log.warning("%s is not mirrored: it %s", name, problem)
    return selected


def _unusable(primary: Primary, model: Any) -> Optional[str]:
    """Return what is wrong with the names in documents of *model*, None if nothing is."""
    for each in with_related(primary, [model]):
        problem = primary.unusable(each)
        if problem is not None:
            return problem if each is model else f"relates to {each.__name__}, which {problem}"
    return None


def with_related(primary: Primary, models: Iterable[Any]) -> list[Any]:
    """Return *models* and those that they have relationships to, directly or through others."""
    reached: dict[Any, None] = {}
    pending = list(models)[::-1]
    while pending:
        model = pending.pop()
        if model not in reached:
            reached[model] = None
            pending.extend(primary.related(model))
    return list(reached)


def check_models(
    primary: Primary, setting: str, keys: Iterable[str], models: Iterable[Any], problem: str
) -> None:
    """Check that the model of each key of a setting is among *models*.

    :param setting: ``index_settings`` or ``analyzer``.
    :param keys: the key after the setting's name: ``MODEL`` or ``MODEL.FIELD``.
    :param problem: what to say of a model of the application that is not.
    :raises ConfigurationError: a model is not.
    """
    names = {model.__name__ for model in models}
    for key in keys:
        name = key.partition(".")[0]
        if name not in names:
            reason = problem if name in primary.models else "is no model"
            raise ConfigurationError(f"nefertari_search.{setting}.{key}: {name} {reason}")
