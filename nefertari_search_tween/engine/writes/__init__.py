"""How documents of the engine are saved, changed and deleted."""
