"""The one gate: what a caller names passes it on the way in, what a view returns on the way out.

Why no exit can forget the rules:

* **Results** (``views.py``). Pyramid derives every view from the same chain, and the gate is the
  link directly inside the one that renders. So it gets the result of each nefertari view before any
  renderer does, whatever the method, the action, the engine and the path by which the view has read
  it (``get_collection``, ``get_collection_es``, ``ES``, several collections, the primary in place
  of a mirror). It runs the view's own after-calls, ``apply_privacy`` among them; the renderer gets
  what they return, so the caller's choice of a renderer changes the form of the answer only. Only a
  renderer that declares that it filters by itself gets objects.
* **Objects** (``objects.py``). ``apply_privacy`` judges all that it is given, to the innermost
  value: an object becomes the dict that the rules of its model leave of it, a sequence of any type
  a list of judged members, a plain value stays. What is none of these can't be judged, and is not
  shown.
* **Errors** (``errors.py``). The text of an error reaches the caller if it was written for one: a
  ``raise`` statement of the application, of nefertari or of this package made it, and it does not
  quote an error that none of them made. Every other text (of the interpreter, a database, a driver,
  a search server) is for the log.
* **Names** (``names.py``). Every read of a model passes ``get_collection``, where names are those
  that the database will get. They are compared with all that nefertari or an engine can have made
  of the caller's parameters, so a name can't become another one after it was judged.

Aggregations have no objects in their results but those of ``top_hits``, which
``search/aggregations/response.py`` builds from the fields that the caller sees.
"""
