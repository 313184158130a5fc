# springtui: `make run` opens the lab, `make test` runs every check. Both make their own environment in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
WARM := $(VENV)/.compiled
# What compiled code depends on: the list COMPILED in the engine's module of the compiler.
COMPILED := $(shell sed -n '/^COMPILED = ($$/,/^)$$/s|^    "\(.*\)",$$|engine/\1|p' engine/jit.py)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
JOBS ?= 3
TALLY := .pytest_cache/tally
PYTEST := $(BIN)/python -m pytest -q --tally=$(TALLY) --durations=15

# The checks start hundreds of processes. Where Python may not keep what it compiles, each compiles all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check bench campaign figures manual clean

help: ## what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: $(WARM) ## open the lab on the embedded data
	@$(BIN)/springtui

test: $(DEV_STAMP) ## every check: ruff, mypy, pytest
	@$(MAKE) --no-print-directory -j2 check $(WARM)
	@rm -f $(TALLY)
	@-$(PYTEST) -n $(JOBS) --dist worksteal -m "not terminal"
	@-$(PYTEST) -n 0 -m terminal
	@$(BIN)/python tests/tally.py $(TALLY) 2

check: $(DEV_STAMP) ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: $(DEV_STAMP) ## measure the figures in docs/evidence.md
	@$(BIN)/python benchmarks/all.py

campaign: $(WARM) $(DEV_STAMP) ## 10 000 damaged logs of other tools, 2000 damaged runs, 100 killed workers
	@$(BIN)/python tests/campaign.py
	@SPRINGTUI_CAMPAIGN=1 $(BIN)/python -m pytest -q -n $(JOBS) tests/faults tests/terminal/test_reconnect.py \
	  tests/engine/test_executors.py

figures: $(DEV_STAMP) ## make every picture in the documentation from the program
	@$(BIN)/python docs/pictures.py
	@$(BIN)/python docs/diagrams.py > /dev/null

manual: $(STAMP) ## make the manual page from the commands
	@$(BIN)/python docs/manual.py

clean: ## remove the environment and what tools left
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "springtui needs Python 3.11 or newer; none was found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "springtui needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "springtui: installing into $(VENV) (a minute or two, once)" >&2
	@$(PIP) -e . && touch $@

$(WARM): $(STAMP) $(COMPILED)
	@$(BIN)/python -P -m engine.workers.warm && touch $@

# All at once, and not compiled: Python compiles what is imported, which is a part of it.
$(DEV_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "springtui: installing what the checks need into $(VENV) (two minutes, once)" >&2
	@$(PIP) --no-compile -e '.[dev]' && touch $(STAMP) $@
