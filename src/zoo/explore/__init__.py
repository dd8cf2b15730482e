"""What is in data and in what a run has learned: fewer dimensions, clusters, and what they are worth."""
