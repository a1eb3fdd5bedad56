"""Documents: the classes of mirror documents, their fields and their format."""
