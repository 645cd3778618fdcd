# Two commands do everything, set-up included: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
BASE ?= HEAD
FORMAT ?= text

.PHONY: help demo test generate check diff mutants bench lint clean

help:          ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

demo: $(READY)       ## networks through files: there and back, and into other frameworks
	$(RUN)/python tests/demo.py

test: $(READY)       ## run the tests
	$(RUN)/python -m pytest -q -n auto

generate: $(READY)   ## write the converters that the mappings say (FORCE=1 gives up edits of them)
	$(RUN)/nirgen generate $(if $(FORCE),--force)

check: $(READY)      ## prove that the committed converters are current
	$(RUN)/nirgen check

diff: $(READY)       ## say what a change of the mappings means (BASE=main FORMAT=markdown)
	@$(RUN)/nirgen diff $(BASE) --format $(FORMAT)

mutants: $(READY)    ## change the neurons' mappings in thousands of ways, and count who notices (SAMPLES=200)
	$(RUN)/python -m tests.mutants $(if $(SAMPLES),--samples $(SAMPLES))

bench: $(READY)      ## measure speed and memory beside the peers (QUICK=1 leaves out the long ones)
	$(RUN)/python -W ignore -m tests.benchmarks.bench $(if $(QUICK),--quick)

lint: $(READY)       ## linters and the type checker
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

clean:         ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch is named with what depends on it, so that one build of it is chosen for all.
$(READY): pyproject.toml
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(RUN)/python -m pip install --quiet "torch==2.13.0" --editable ".[norse,snntorch,spikingjelly,draw,plot]" --group dev
	touch $(READY)
