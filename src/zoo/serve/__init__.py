"""Answers over HTTP: a run, or several together, behind a small API and a page to type into."""
