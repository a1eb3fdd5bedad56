"""Save, change and delete documents of the engine."""
