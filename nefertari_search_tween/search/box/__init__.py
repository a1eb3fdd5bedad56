"""The search box (``_query``): any text is a search, and none is an error."""
