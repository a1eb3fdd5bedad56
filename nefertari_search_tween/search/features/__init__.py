"""What a search returns beside its documents, where it is asked for."""
