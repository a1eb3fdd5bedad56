"""The link in Pyramid's chain of view derivers that every result of a nefertari view passes.

It is directly inside ``rendered_view``, so it sees what the view returns before any renderer does,
and knows which renderer will run: the view's own, or ``request.override_renderer``, which nefertari
sets by the caller's ``Accept``. See the package for why nothing passes beside it.
"""

from __future__ import annotations

from typing import Any, Callable

from nefertari.utils import json_dumps
from nefertari.view import BaseView
from nefertari.wrappers import apply_privacy
from pyramid.config import Configurator
from pyramid.interfaces import IRendererFactory, IResponse
from pyramid.renderers import RendererHelper, string_renderer_factory

from nefertari_search_tween.search.gate.objects import visible_part
from nefertari_search_tween.search.privacy import has_authentication

NAME = "nefertari_search_gate"
#: attribute of a renderer's factory, true if the renderer applies the rules of privacy by itself
APPLIES_PRIVACY = "applies_privacy"
#: the actions to which nefertari gives ``apply_privacy``. A view that shows more takes it off.
_RULED = frozenset({"index", "show", "create", "update", "replace"})

View = Callable[[Any, Any], Any]


def add_gate(config: Configurator) -> None:
    """Put the gate into all views of the application; idempotent."""
    if not hasattr(config.registry, NAME):
        setattr(config.registry, NAME, gate)
        config.add_view_deriver(gate, NAME, under="rendered_view", over="VIEW")


def gate(view: View, info: Any) -> View:
    """Return *view* with results that the caller may see; a view deriver."""
    if not (isinstance(info.original_view, type) and issubclass(info.original_view, BaseView)):
        return view

    def gated(context: Any, request: Any) -> Any:
        result = view(context, request)
        # A response that the view made itself is the application's own.
        if info.registry.queryAdapterOrSelf(result, IResponse) is not None:
            return result
        return released(
            request, result, _factory_of(request, info), info.original_view._json_encoder
        )

    return gated


def released(request: Any, result: Any, factory: Any, encoder: Any) -> Any:
    """Return what the renderer may have of the *result* of a view.

    :param factory: of the renderer.
    :param encoder: the view's own JSON encoder.
    """
    restricts = has_authentication(request)
    # Pyramid's "string" calls str(), which of a query is its SQL and of an object its address.
    # Every caller can choose it ("Accept: text/plain"), so it always gets text.
    is_text = factory is string_renderer_factory
    if getattr(factory, APPLIES_PRIVACY, False) is True or not (restricts or is_text):
        return result
    action = getattr(request, "action", "")
    # A renderer that runs after-calls finds none: they need not bear to be run twice.
    calls = getattr(request, "filters", {}).pop(action, [])
    for call in calls:
        result = call(request=request, result=result)
    if not restricts:
        result = visible_part(result, None)
    elif action not in _RULED:
        result = apply_privacy(request)(result=result)
    if is_text:
        return json_dumps(result, encoder)
    # Not nefertari's own dict: Pyramid looks for an adapter of it, and it has a KeyError for that.
    return dict(result) if isinstance(result, dict) else result


def _factory_of(request: Any, info: Any) -> Any:
    """Return the factory of the renderer that will run."""
    name = request.__dict__.get("override_renderer")
    helper = info.options.get("renderer")
    if name is not None or helper is None:
        helper = RendererHelper(name=name, package=info.package, registry=info.registry)
    return info.registry.queryUtility(IRendererFactory, name=helper.type)
