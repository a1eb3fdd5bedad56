"""Every form of query that the query layer writes, each with the films that it finds."""

from __future__ import annotations

from typing import Any

Query = dict[str, Any]
#: a query and the ids of its films, or "all", or "all but" others
Case = tuple[Query, str]

MILLIS = {"format": "epoch_millis"}
YEAR_2001 = {"gte": 978_307_200_000, "lt": 1_009_843_200_000, **MILLIS}
JULY_18_2008 = {"gte": 1_216_339_200_000, "lt": 1_216_425_600_000, **MILLIS}
WALL_E_RELEASE = {"gte": 1_214_524_800_500, "lt": 1_214_524_800_501, **MILLIS}


def term(field: str, value: Any) -> Query:
    return {"term": {field: {"value": value}}}


def words(field: str, text: str, **options: Any) -> Query:
    return {"match_phrase": {field: {"query": text, **options}}}


def fuzzy(field: str, text: str, fuzziness: Any) -> Query:
    options = {"query": text, "fuzziness": fuzziness, "operator": "and"}
    return {"match": {field: options}}


def pattern(field: str, text: str) -> Query:
    return {"wildcard": {field: {"value": text, "case_insensitive": True}}}


def expression(field: str, text: str) -> Query:
    return {"regexp": {field: {"value": text, "case_insensitive": True}}}


def director(query: Query) -> Query:
    return {"nested": {"path": "directors", "query": query, "score_mode": "max"}}


def award(query: Query) -> Query:
    return {"nested": {"path": "directors.awards", "query": query, "score_mode": "max"}}


def exists(field: str) -> Query:
    return {"exists": {"field": field}}


def released(**bounds: Any) -> Query:
    return {"range": {"released": bounds}}


def every(**clauses: Any) -> Query:
    return {"bool": clauses}


def both(*queries: Query) -> Query:
    return every(must=[*queries])


def any_of(*queries: Query) -> Query:
    return every(should=[*queries], minimum_should_match=1)


def none_of(*queries: Query) -> Query:
    return every(must_not=[*queries])


IN_2001: Query = {"term": {"year": 2001}}
JAPANESE: Query = {"term": {"country": "Japan"}}
KNIGHT = words("title", "knight")
DARK = words("title", "dark")

EXACT: list[Case] = [
    ({"match_all": {}}, "all"),
    ({"match_none": {}}, ""),
    # term: keyword, long, double, boolean, date
    ({"term": {"title.keyword": "The Dark Knight"}}, "2"),
    ({"term": {"title.keyword": "the dark knight"}}, ""),
    ({"term": {"title.keyword": "dark knight"}}, "11"),
    ({"term": {"title.keyword": ""}}, "9"),
    (term("title.keyword", "千と千尋の神隠し"), "7"),
    (term("genres.keyword", "family"), "1 3"),
    ({"term": {"country": "United States"}}, "2 3 4 5"),
    (IN_2001, "1 6 7"),
    (term("year", -5), "10"),
    (term("year", 2001.0), "1 6 7"),
    ({"term": {"rating": 8.6}}, "1 11"),
    (term("rating", 9), "2"),
    (term("rating", 8.61), ""),
    ({"term": {"seen": True}}, "1 2 5 7 12"),
    (term("seen", False), "3 6 9"),
    ({"term": {"_exact.released": 995_587_200_000_001}}, "1"),
    ({"term": {"_exact.released": 995_587_200_000_000}}, ""),
    (term("length", "02:05:00"), "1"),
    ({"term": {"_type": "Film"}}, "all"),
    ({"term": {"_inexact": "title"}}, "10"),
    # terms
    ({"terms": {"_inexact": ["*", "title"]}}, "10"),
    ({"terms": {"year": [1982, 2012, 1]}}, "3 11"),
    ({"terms": {"title.keyword": ["", "Amélie", "amélie"]}}, "9 6"),
    ({"terms": {"seen": [True, False]}}, "all but 4 8 10 11"),
    ({"terms": {"year": []}}, ""),
    # beginnings
    ({"prefix": {"title": {"value": "d"}}}, "2 3 4 11"),
    ({"prefix": {"title": {"value": "kni"}}}, "2 4 11"),
    ({"prefix": {"title": {"value": "zzz"}}}, ""),
    ({"prefix": {"country": {"value": "United"}}}, "2 3 4 5"),
    ({"match_phrase_prefix": {"title": {"query": "dark k"}}}, "2 11"),
    ({"match_phrase_prefix": {"title": {"query": "the dark"}}}, "2 3"),
    ({"match_phrase_prefix": {"title": {"query": "kn"}}}, "2 4 11"),
    ({"match_phrase_prefix": {"plot": {"query": "city of g", "max_expansions": 5}}}, "2"),
    ({"match_phrase_prefix": {"title": {"query": "knight d"}}}, ""),
    # exists
    (exists("year"), "all but 9"),
    (exists("rating"), "all but 7"),
    (exists("seen"), "all but 4 8 10 11"),
    # The empty text has no word, but it is there.
    (exists("title"), "all but 10"),
    (exists("title.keyword"), "all but 10"),
    (exists("released"), "1 2 3 4 6 12"),
    (exists("genres"), "1 2 3 4 5 6 12"),
    (exists("_exact.released"), "1 2"),
    (exists("no_such_field"), ""),
    (director(exists("directors.name")), "1 2 3 7"),
    # range
    ({"range": {"year": {"gte": 2008}}}, "2 4 11 12"),
    ({"range": {"year": {"gt": 2008}}}, "4 11"),
    ({"range": {"year": {"lt": 1982}}}, "10"),
    ({"range": {"year": {"lte": 1982}}}, "3 10"),
    ({"range": {"year": {"gt": 1982, "lt": 2002}}}, "1 6 7"),
    ({"range": {"year": {"gte": 2003, "lte": 2001}}}, ""),
    ({"range": {"year": {"gte": -(2**63) + 1, "lt": 2**63 - 1}}}, "all but 9"),
    ({"range": {"rating": {"gte": 8.6}}}, "1 2 11"),
    ({"range": {"rating": {"gt": 8.4, "lte": 8.6}}}, "1 11"),
    ({"range": {"rating": {"gte": -0.0, "lte": 0.0}}}, "9 10"),
    ({"range": {"title.keyword": {"gte": "Spider-Man", "lt": "The Dark L"}}}, "1 2 3 5"),
    ({"range": {"title.keyword": {"gt": "dark knight"}}}, "7 8"),
    ({"range": {"country": {"lte": "France"}}}, "6 9"),
    ({"range": {"released": YEAR_2001}}, "1 6"),
    ({"range": {"released": JULY_18_2008}}, "2"),
    ({"range": {"released": {"lt": 409_000_000_000, **MILLIS}}}, "3"),
    ({"range": {"released": WALL_E_RELEASE}}, "12"),
    ({"range": {"released": {"gte": "2008-07-18", "lte": "2008-07-18"}}}, "2"),
    ({"range": {"released": {"gte": "2010"}}}, "4"),
    # date arithmetic: steps, rounding down and up, offsets
    (released(gte="2001-07-21||-1d"), "1 2 4 12"),
    (released(gt="2001-07-20||/d"), "2 4 12"),
    (released(lte="2001-07-01||/y"), "1 3 6"),
    (released(lt="2001-07-20||/M"), "3 6"),
    (released(gte="2001-07-31||/M", lte="2001-07-01||/M"), "1"),
    (released(gte="2008-07-18||/w", lte="2008-07-18||/w"), "2"),
    (released(gte="2008-07-20||/w", lte="2008-07-14||/w"), "2"),
    (released(gte="2008-07-21||/w", lte="2008-07-21||/w"), ""),
    (released(gte="2010-06-23||", lte="2010-06-23T12:00||/d"), "4"),
    (released(gte="2010-06-23||", lte="2010-06-23T12:00||"), ""),
    (released(gte="2010-06-23T23:59:58||+1s", lte="2010-06-23T23:59:58||+s/s"), "4"),
    (released(gt="2010-06-23T23:59:59||/s"), ""),
    (released(gte="1216384200000||-30m/h", lt="1216384200000||+1H/H"), "2"),
    (released(gte="2008-06-27||/m", lte="2008-06-27||/m"), "12"),
    # a month later is the last day of a shorter month, and so is a leap day in another year
    (released(gte="2001-03-31||+1M-5d", lte="2001-03-31||+1M-5d"), "6"),
    ({"term": {"released": "2008-02-29||-7y+56d"}}, "6"),
    # each step has the result of the one before
    (released(gte="2001-01-01||/y-1d/M", lte="2001-05-05||/M-1M"), "6"),
    (released(gte="now-200y", lt="now"), "1 2 3 4 6 12"),
    (released(gte="now-200y/y", lte="now/d"), "1 2 3 4 6 12"),
    (released(gt="now-1w/w"), ""),
    (released(gte="2008-07-18T14:30:00+02:00", lte="2008-07-18T14:30:00+02:00"), "2"),
    (released(gte="2008-07-18T14:31:00+02:00"), "4"),
    (released(gte="2001-07-20T01:00:00+02:00||/d", lte="2001-07-20T01:00+02:00||/d+1M"), "1"),
    ({"range": {"length": {"gte": "02:00:00", "lt": "02:32:00"}}}, "1"),
    ({"range": {"_exact.released": {"gt": 995_587_200_000_000}}}, "1 2"),
    # what the exact reads write
    (none_of(exists("title.keyword")), "10"),
    (any_of(every(filter=[IN_2001, JAPANESE]), {"terms": {"_inexact": ["*", "title"]}}), "1 7 10"),
    (none_of({"term": {"_inexact": "*"}}), "all"),
]

TEXTS: list[Case] = [
    # words and phrases
    (KNIGHT, "2 4 11"),
    (words("title", "KNIGHT"), "2 4 11"),
    (words("title", "dark knight"), "2 11"),
    (words("title", "knight dark"), ""),
    (words("title", "The Knight"), ""),
    (words("title", "The Knight", slop=1), "2"),
    (words("plot", "batman joker", slop=1), ""),
    (words("plot", "batman joker", slop=2), "2"),
    (words("title", "knight dark", slop=2), "2 11"),
    (words("title", "knight dark", slop=1), ""),
    (words("title", "the the"), ""),
    (words("title", "spider-man"), "5"),
    (words("title", "spider man"), "5"),
    (words("title", "spiderman"), ""),
    (words("title", "man"), "5"),
    (words("title", "!!!"), ""),
    (words("plot", "can't"), "12"),
    (words("plot", "cant"), ""),
    (words("plot", "2,805"), "12"),
    (words("plot", "805"), ""),
    (words("plot", "earth 2,805"), "12"),
    (words("genres", "action"), "2 4 5"),
    (words("genres", "action drama"), ""),
    # other alphabets: no accents are folded, every ideograph is a word
    (words("title", "amélie"), "6"),
    (words("title", "AMÉLIE"), "6"),
    (words("title", "amelie"), ""),
    (words("title", "ДОЗОР"), "8"),
    (words("title", "ночной дозор"), "8"),
    (words("title", "千"), "7"),
    (words("title", "千尋"), "7"),
    (words("title", "尋千"), ""),
    (words("title", "の神隠し"), "7"),
    (words("title", "wall·e"), "12"),
    (words("title", "wall"), ""),
    # words near a word
    (fuzzy("title", "knigth", "AUTO"), "2 4 11"),
    (fuzzy("title", "knigt", "AUTO"), "2 4 11"),
    (fuzzy("title", "knigt", 0), ""),
    (fuzzy("title", "knight", 0), "2 4 11"),
    (fuzzy("title", "knoght", 1), "2 4 11"),
    (fuzzy("title", "knoghd", 1), ""),
    (fuzzy("title", "knoghd", 2), "2 4 11"),
    (fuzzy("title", "drak", "AUTO"), "2 3 11"),
    (fuzzy("title", "dy", "AUTO"), ""),
    (fuzzy("title", "amelie", "AUTO"), "6"),
    (fuzzy("title", "spyder-man", "AUTO"), "5"),
    (fuzzy("title", "spyder-day", "AUTO"), ""),
    ({"match": {"title": {"query": "dark crystal", "operator": "and"}}}, "3"),
    ({"match": {"title": {"query": "dark crystal"}}}, "2 3 11"),
    ({"match": {"title": "crystal away"}}, "1 3"),
    # patterns
    (pattern("title", "kn*"), "2 4 11"),
    (pattern("title", "KN*"), "2 4 11"),
    (pattern("title", "?night"), "2 4 11"),
    (pattern("title", "knigh"), ""),
    (pattern("title", "*"), "all but 9 10"),
    (pattern("title", "s*d*"), "1 5"),
    (pattern("title", "dark knight"), ""),
    (pattern("title", "am?lie"), "6"),
    (pattern("title", "ноч*"), "8"),
    (pattern("country", "united*"), "2 3 4 5"),
    (pattern("country", "*A*"), "1 6 7 8 2 3 4 5"),
    (pattern("title.keyword", "the ????*"), "2 3"),
    (pattern("title.keyword", "wall\\*e"), ""),
    (expression("title", "kn[a-i]ght"), "2 4 11"),
    (expression("title", "nigh"), ""),
    (expression("title", "d(ark|ay)"), "2 3 4 11"),
    (expression("title", "sp.*"), "1 5"),
    (expression("country", "united s.+"), "2 3 4 5"),
    (expression("country", "[fj].*"), "1 6 7"),
]

JOINED: list[Case] = [
    (both(KNIGHT, DARK), "2 11"),
    (every(must=[KNIGHT], must_not=[DARK]), "4"),
    (any_of(KNIGHT, words("title", "crystal")), "2 3 4 11"),
    (every(should=[KNIGHT, DARK], minimum_should_match=2), "2 11"),
    (every(should=[KNIGHT, DARK]), "2 3 4 11"),
    (every(should=[KNIGHT], must=[{"term": {"year": 2008}}]), "2 12"),
    (every(should=[KNIGHT], filter=[{"term": {"year": 2008}}]), "2 12"),
    (every(should=[KNIGHT], filter=[{"term": {"year": 2008}}], minimum_should_match=1), "2"),
    (every(filter=[KNIGHT], must_not=[{"term": {"seen": True}}]), "4 11"),
    (none_of(KNIGHT, DARK), "all but 2 3 4 11"),
    (every(), "all"),
    (every(must={"match_all": {}}, filter=IN_2001), "1 6 7"),
    (both(none_of(none_of(KNIGHT))), "2 4 11"),
    (every(must=[KNIGHT], boost=3.5), "2 4 11"),
    (both({"match_none": {}}, KNIGHT), ""),
    (any_of({"match_none": {}}, KNIGHT), "2 4 11"),
    ({"dis_max": {"queries": [KNIGHT, words("plot", "knight")]}}, "2 4 11"),
    ({"dis_max": {"queries": [words("title", "boy"), words("plot", "boy")]}}, "5"),
    ({"dis_max": {"queries": [{"match_none": {}}]}}, ""),
]

HENSON = words("directors.name", "henson")
OSCAR = words("directors.awards.name", "oscar")

NESTED: list[Case] = [
    (director(words("directors.name", "miyazaki")), "1 7"),
    (director(term("directors.name.keyword", "Jim Henson")), "3"),
    (director(term("directors.born", 1944)), "3"),
    (director({"range": {"directors.born": {"lt": 1941}}}), "3"),
    (director(pattern("directors.name", "chris*")), "2"),
    (director({"match_none": {}}), ""),
    # one and the same director
    (director(both(HENSON, term("directors.born", 1936))), "3"),
    (director(both(HENSON, term("directors.born", 1944))), ""),
    # not a director, and no director at all
    (none_of(director(HENSON)), "all but 3"),
    (director(none_of(HENSON)), "1 2 3 7"),
    (none_of(director(exists("directors.name"))), "all but 1 2 3 7"),
    # outside a nested query its fields are nowhere
    (words("directors.name", "miyazaki"), ""),
    (exists("directors.born"), ""),
    # two levels: by the full path, and by each level in its turn
    (award(OSCAR), "1 3 7"),
    (award(term("directors.awards.year", 2002)), "1 7"),
    (award(both(OSCAR, term("directors.awards.year", 2002))), ""),
    (director(both(HENSON, award(words("directors.awards.name", "hugo")))), "3"),
    (director(both(HENSON, award(OSCAR))), ""),
    (
        any_of(
            {"dis_max": {"queries": [KNIGHT, director(term("directors.born", 1936))]}},
            award(words("directors.awards.name", "golden bear")),
        ),
        "1 2 3 4 7 11",
    ),
]

QUERIES = EXACT + TEXTS + JOINED + NESTED

MALFORMED: list[dict[str, Any]] = [
    {"query": {"no_such_query": {}}},
    {"query": {"term": {"year": "not a number"}}},
    {"query": {"range": {"year": {"gte": "x"}}}},
    {"query": {"range": {"released": {"gte": "no date"}}}},
    *(
        {"query": released(gte=text)}
        for text in ("now+", "now-1x", "now1d", "2001-01-01||/2d", "2001-01-01||1d", "soon||+1d")
    ),
    {"query": {"range": {"year": {"no_such_bound": 1}}}},
    {"query": {"term": {"seen": "neither"}}},
    {"query": {"bool": {"no_such_clause": []}}},
    {"query": {"regexp": {"title": {"value": "a(b"}}}},
    {"query": {"nested": {"path": "title", "query": {"match_all": {}}}}},
    {"query": {"nested": {"path": "directors"}}},
    {"query": {"match": {"title": {"query": "a", "operator": "no_such_operator"}}}},
    {"query": {"term": {}}},
    {"no_such_part": 1},
    {"size": -1},
    {"from": -1},
    {"sort": [{"title": {"order": "asc"}}]},
    {"sort": [{"no_such_field": {"order": "asc"}}]},
    {"aggs": {"a": {"no_such_aggregation": {}}}},
    *({"query": {name: {"title": {"query": None}}}} for name in ("match", "match_phrase")),
]
