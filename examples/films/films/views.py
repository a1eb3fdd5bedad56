"""Views, written as nefertari's scaffold writes them."""

from nefertari.view import BaseView

from films.models import ON_SQL, Country, Film, Genre, Person

# What a film's director is found by: a column, or the reference itself.
DIRECTOR = "director_id" if ON_SQL else "director"


class CatalogueView(BaseView):
    """Every action on one model; `id_name` is the item's name in the URL."""

    id_name = None

    def get_item(self, kwargs):
        return self.Model.get_item(id=kwargs[self.id_name])

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params)

    def show(self, **kwargs):
        return self.get_item(kwargs)

    def create(self, **kwargs):
        item = self.Model(**self._json_params)
        return item.save(self.request)

    def update(self, **kwargs):
        return self.get_item(kwargs).update(self._json_params, self.request)

    def replace(self, **kwargs):
        return self.update(**kwargs)

    def delete(self, **kwargs):
        self.get_item(kwargs).delete(self.request)

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._delete_many(items, self.request)


class FilmsView(CatalogueView):
    Model = Film
    id_name = "film_id"


class PeopleView(CatalogueView):
    Model = Person
    id_name = "person_id"


class GenresView(CatalogueView):
    Model = Genre
    id_name = "genre_id"


class CountriesView(CatalogueView):
    Model = Country
    id_name = "country_id"


class PersonFilmsView(FilmsView):
    """The films that one person directed."""

    def get_item(self, kwargs):
        return self.Model.get_item(id=kwargs["film_id"], **{DIRECTOR: kwargs["person_id"]})

    def index(self, person_id):
        person = Person.get_item(id=person_id)
        self._query_params[DIRECTOR] = person.id
        return super().index()

    def create(self, person_id):
        person = Person.get_item(id=person_id)
        self._json_params["director"] = person
        return super().create()

    def update_many(self, person_id):
        self._query_params[DIRECTOR] = person_id
        return super().update_many()

    def delete_many(self, person_id):
        self._query_params[DIRECTOR] = person_id
        return super().delete_many()


class SearchView(BaseView):
    """Films, always from the search server: GET /search?q=heat"""

    Model = Film

    def index(self):
        return self.get_collection_es()
