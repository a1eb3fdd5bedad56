"""Routes: /films, /people, /people/{person_id}/films, /genres, /countries, /search."""


def includeme(config):
    root = config.get_root_resource()

    # nefertari links an object to the last top-level collection of its model,
    # so /search, which lists films too, comes before /films.
    root.add("hit", "search", view="films.views.SearchView", id_name="film_id")
    root.add("film", "films", view="films.views.FilmsView", id_name="film_id")

    person = root.add("person", "people", view="films.views.PeopleView", id_name="person_id")
    person.add("film", "films", view="films.views.PersonFilmsView", id_name="film_id")

    root.add("genre", "genres", view="films.views.GenresView", id_name="genre_id")
    root.add("country", "countries", view="films.views.CountriesView", id_name="country_id")
