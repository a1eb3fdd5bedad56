"""Long campaigns of faults, run by ``make faults``; ``make test`` runs short ones."""
