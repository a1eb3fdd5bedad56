"""Speed and memory, as ratios within one run. Run by ``make bench``."""
