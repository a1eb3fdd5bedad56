"""Views: plain ones, ones that filter by a hidden field, and those that log in."""

from __future__ import annotations

from nefertari.acl import AuthenticationACL, CollectionACL
from nefertari.authentication import views as auth
from nefertari.view import BaseView
from pyramid.security import ALL_PERMISSIONS, Allow, Authenticated, Everyone

from tests.apps.private_fields.models import Badge, Draft, Member, Profile, Story
from tests.apps.views import PlainView


class OpenACL(CollectionACL):
    """Everyone reads, admins write."""

    __acl__ = (
        (Allow, "g:admin", ALL_PERMISSIONS),
        (Allow, Everyone, ("view", "options")),
        (Allow, "g:editor", ("update",)),
    )


class MemberACL(OpenACL):
    item_model = Member


class ProfileACL(OpenACL):
    item_model = Profile


class BadgeACL(OpenACL):
    item_model = Badge


class StoryACL(OpenACL):
    item_model = Story


class DraftACL(OpenACL):
    item_model = Draft


class ClosedACL(CollectionACL):
    """Members only."""

    __acl__ = (
        (Allow, "g:admin", ALL_PERMISSIONS),
        (Allow, Authenticated, ("view", "options")),
    )
    item_model = Story


class MemberItemsView(PlainView):
    """Collections and items of one model, whose items can be updated together."""

    def update_many(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return self.Model._update_many(items, self._json_params, self.request)


class MembersView(MemberItemsView):
    Model = Member


class ProfilesView(MemberItemsView):
    Model = Profile


class BadgesView(MemberItemsView):
    Model = Badge


class StoriesView(MemberItemsView):
    Model = Story


class DraftsView(MemberItemsView):
    Model = Draft


class ShelvedView(MemberItemsView):
    """Filtered by a field that only admins see."""

    Model = Story

    def index(self, **kwargs):
        self._query_params["shelf"] = "open"
        return self.Model.get_collection(**self._query_params)


class FoundView(MemberItemsView):
    """A search view that is filtered by such a field and its presence, and sorted by it."""

    Model = Story

    def index(self, **kwargs):
        self._query_params["shelf"] = "open"
        self._query_params.setdefault("_sort", "shelf,id")
        self._query_params.setdefault("_exists_", "shelf")
        return self.get_collection_es()

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._update_many(items, self._json_params, self.request)


class AuthoredView(MemberItemsView):
    """The stories of one member."""

    Model = Story

    def index(self, **kwargs):
        # Foreign keys are SQL's.
        name = "author_name" if Story.has_field("author_name") else "author"
        self._query_params[name] = kwargs["username"]
        return self.Model.get_collection(**self._query_params)


class StrangeView(BaseView):
    """Returns objects of no model, as a view may that makes them up."""

    Model = Story

    def index(self, **kwargs):
        return [{"_type": "Nothing", "_pk": "1", "note": "hidden"}]


class RegisterView(auth.TicketAuthRegisterView):
    Model = Member


class LoginView(auth.TicketAuthLoginView):
    Model = Member


class LogoutView(auth.TicketAuthLogoutView):
    Model = Member


class TokenRegisterView(auth.TokenAuthRegisterView):
    Model = Member


class TokenClaimView(auth.TokenAuthClaimView):
    Model = Member


class TokenResetView(auth.TokenAuthResetView):
    Model = Member


def includeme(config):
    root = config.get_root_resource()
    for member, collection, view, factory in (
        ("profile", "profiles", ProfilesView, ProfileACL),
        ("badge", "badges", BadgesView, BadgeACL),
        ("draft", "drafts", DraftsView, DraftACL),
        ("shelved", "shelved_stories", ShelvedView, StoryACL),
        ("found", "found_stories", FoundView, StoryACL),
        ("closed", "closed_stories", type("ClosedView", (StoriesView,), {}), ClosedACL),
        ("strange", "strange_stories", StrangeView, StoryACL),
        # The last one of a model is the one that objects link to.
        ("story", "stories", StoriesView, StoryACL),
    ):
        root.add(member, collection, view=view, factory=factory, id_name="id")
    members = root.add("member", "members", view=MembersView, factory=MemberACL, id_name="username")
    members.add("story", "stories", view=AuthoredView, factory=StoryACL, id_name="id")
    if config.registry.settings["members.login"] == "ticket":
        views = (("account", RegisterView), ("login", LoginView), ("logout", LogoutView))
    else:
        views = (
            ("account", TokenRegisterView),
            ("token", TokenClaimView),
            ("reset_token", TokenResetView),
        )
    for name, view in views:
        root.add(name, view=view, factory=AuthenticationACL)
