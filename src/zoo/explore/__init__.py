"""What a table of numbers holds: fewer dimensions, and groups."""
