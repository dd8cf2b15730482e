"""A search for good settings: a space of them, trials that are runs, and a table of what came of each."""
