"""Building blocks that know torch and nothing else of the zoo."""
