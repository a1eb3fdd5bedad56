"""Views of the club: everybody may read, users write."""

from __future__ import annotations

from nefertari.acl import AuthenticationACL, CollectionACL
from nefertari.authentication import views as auth
from nefertari.view import BaseView
from pyramid.security import ALL_PERMISSIONS, Allow, Authenticated, Everyone

from tests.apps.engine_auth.models import Comment, Story, User


class ClubACL(CollectionACL):
    __acl__ = (
        (Allow, "g:admin", ALL_PERMISSIONS),
        (Allow, Authenticated, ("create", "update", "update_many", "replace", "delete")),
        (Allow, Everyone, ("view", "options")),
    )


class StoryACL(ClubACL):
    item_model = Story


class CommentACL(ClubACL):
    item_model = Comment


class UserACL(CollectionACL):
    __acl__ = ((Allow, "g:admin", ALL_PERMISSIONS), (Allow, Authenticated, ("view",)))
    item_model = User


class PlainView(BaseView):
    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params)

    def show(self, **kwargs):
        return self.context

    def create(self, **kwargs):
        return self.Model(**self._json_params).save(self.request)

    def update(self, **kwargs):
        return self.context.update(self._json_params, self.request)

    def replace(self, **kwargs):
        return self.update(**kwargs)

    def delete(self, **kwargs):
        self.context.delete(self.request)

    def update_many(self, **kwargs):
        stories = self.Model.get_collection(**self._query_params)
        return self.Model._update_many(stories, self._json_params, self.request)

    def delete_many(self, **kwargs):
        stories = self.Model.get_collection(**self._query_params)
        return self.Model._delete_many(stories, self.request)


class StoriesView(PlainView):
    Model = Story


class FoundView(PlainView):
    Model = Story

    def index(self, **kwargs):
        return self.get_collection_es()


class CommentsView(PlainView):
    Model = Comment


class UsersView(PlainView):
    Model = User


def includeme(config):
    root = config.get_root_resource()
    # nefertari sets this on the resource of its own package alone.
    root.auth = True
    for member, collection, view, factory in (
        ("found", "founds", FoundView, StoryACL),
        ("story", "stories", StoriesView, StoryACL),
        ("comment", "comments", CommentsView, CommentACL),
        ("user", "users", UsersView, UserACL),
    ):
        root.add(member, collection, view=view, factory=factory, id_name=f"{member}_id")
    policy = config.registry.settings["club.policy"]
    views = (
        (("register", "Register"), ("token", "Claim"), ("reset_token", "Reset"))
        if policy == "token"
        else (("register", "Register"), ("login", "Login"), ("logout", "Logout"))
    )
    for name, suffix in views:
        base = getattr(auth, f"{policy.capitalize()}Auth{suffix}View")
        view = type(f"Club{suffix}View", (base,), {"Model": User})
        root.add(name, view=view, factory=AuthenticationACL)
