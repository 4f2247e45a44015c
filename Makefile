# The two commands of the README: `make demo` (set up and run the main job), `make test` (set up and run all checks).
# Everything is installed into .venv beside this file; remove that folder to start afresh.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
FUZZ_SECONDS ?= 60

.PHONY: help demo test lint format clean docs fuzz platforms results

help:
	@echo "make demo       set up, benchmark a simulated device, train a platform, predict twelve networks"
	@echo "make test       set up, then lint, types and all tests"
	@echo "make lint       ruff and mypy --strict"
	@echo "make format     ruff format and safe fixes"
	@echo "make docs       build the documentation site (site/), links checked"
	@echo "make fuzz       change files of every kind that is read and see what happens, FUZZ_SECONDS=60 for each"
	@echo "make platforms  retrain the shipped platforms (trained_models/)"
	@echo "make results    rerun the accuracy and speed studies (benchmarks/results/)"
	@echo "make clean      remove .venv and what the demo wrote"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "annette needs Python 3.11 or later; found $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.annette: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.annette-test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.annette

demo: $(VENV)/.annette
	$(BIN)/annette demo --folder demo --jobs $(JOBS)
	@echo "annette is installed in $(BIN); to type it without the path: source $(BIN)/activate"

lint: $(VENV)/.annette-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.annette-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread in each of the processes: two with two threads each would stand in each other's way.
test: lint
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

$(VENV)/.annette-docs: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

# Hooks make pages from the CLI, docstrings and recorded results; --strict makes a dead link or anchor an error.
docs: $(VENV)/.annette-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "the site is in site/: open site/index.html; to search it too: $(BIN)/python -m http.server -d site"

fuzz: $(VENV)/.annette-test
	$(BIN)/python benchmarks/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --jobs $(JOBS) $(FUZZ_TARGETS)

platforms: $(VENV)/.annette-test
	$(BIN)/python benchmarks/studies/train_platforms.py --jobs $(JOBS)

results: $(VENV)/.annette-test
	$(BIN)/python benchmarks/studies/accuracy.py --jobs $(JOBS)
	$(BIN)/python benchmarks/studies/speed.py
	$(BIN)/python benchmarks/studies/readme_tables.py

clean:
	rm -rf $(VENV) demo site
