# make train | make test | make lint; ARGS are passed on: make train ARGS="model=classifier seed=2".

PYTHON ?= python3.13 python3.12 python3.11 python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.installed

.PHONY: train test lint setup clean

train: $(READY)
	$(BIN)/zoo-train $(ARGS)

# One thread for each worker: two of them finish sooner than one with two threads.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not nightly" $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY)

# A name on the PATH may be a shim of a version that is not installed, so each candidate has to run.
$(READY): pyproject.toml constraints.txt
	@found=; for python in $(PYTHON); do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	    then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "error: none of $(PYTHON) is a working Python 3.11, 3.12 or 3.13 with venv;" \
	        "install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13;" \
	        "else https://www.python.org/downloads/), or name it: make PYTHON=/path/to/python3.13" >&2; \
	    exit 2; \
	fi; \
	$(BIN)/python -c '' 2>/dev/null || { rm -rf .venv && $$found -m venv .venv; }; \
	echo "Installing into .venv ($$($(BIN)/python --version)); this takes a minute or two, once."; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@echo "Done: . .venv/bin/activate puts zoo and zoo-train on your PATH."
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find src tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
