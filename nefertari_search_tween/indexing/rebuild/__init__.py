"""Building the next index of a mirror beside the one that is read."""
