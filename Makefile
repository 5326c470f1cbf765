# The one entry point. Each word sets up what it needs and can be run first on a fresh
# checkout; only Python 3.11 or newer, a C compiler and make are assumed.
#
#   make PYTHON=/path/to/python3   another interpreter for .venv
#   make test ARGS='-k close -x'   arguments for pytest

VENV ?= .venv
PY = $(VENV)/bin/python
STAMP = $(VENV)/.made
BASE = $(VENV)/.made-base
GROUPS ?= dev
BUILD ?= compiled
BENCH ?= .venv-bench

.DEFAULT_GOAL := all
# The words of `make` build upon each other, whatever -j says.
.NOTPARALLEL:
.PHONY: all demo build pure js test long types style bench conform dependents coverage test-all fuzz soak chaos sanitize docs dist clean help

all: build style types test  ## what a contributor runs before a commit

# Made again when what it contains is declared anew.
$(STAMP): pyproject.toml tools/venv.sh
	@tools/venv.sh $(VENV) "$(PYTHON)" $(GROUPS)
	@touch $@ $(BASE)

# Enough to run longwire, without what only tests and documents need.
$(BASE): pyproject.toml tools/venv.sh
	@tools/venv.sh $(VENV) "$(PYTHON)"
	@touch $@

# The peers that longwire is compared with, where they cannot change what tests see.
$(BENCH)/.made: pyproject.toml tools/venv.sh
	@tools/venv.sh $(BENCH) "$(PYTHON)" bench
	@touch $@

demo: $(BASE)  ## a live server on localhost with a page to open; PORT= to choose
	@$(PY) tools/build.py --optional
	@exec $(PY) -m longwire demo $(if $(PORT),--port $(PORT))

build: $(STAMP)  ## compile the core in place (fast when nothing changed)
	@$(PY) tools/build.py

pure: $(STAMP)  ## remove compiled modules; everything must still work
	@$(PY) tools/build.py --clean

js:  ## build js/ and the copies of it that the Python package has
	@tools/peers.sh
	@$(if $(wildcard $(PY)),$(PY),python3) tools/js.py build

test: build  ## the tests; connections on every build, engine and loop; 15 minutes
	@tools/peers.sh
	@$(PY) -m tests.differential.editions
	@$(PY) tools/test.py $(ARGS)

long: build  ## tests that take long: sieges, soaks, chaos, figures; Autobahn's quick cases
	@tools/peers.sh
	@$(PY) tools/test.py --long

types: $(STAMP)  ## mypy --strict
	@$(PY) -m mypy

style: $(STAMP)  ## format and lint, writing
	@$(PY) -m ruff check --fix --quiet .
	@$(PY) -m ruff format --quiet .
	@$(PY) -m codespell_lib
	@echo "style is fine"

bench: $(BENCH)/.made  ## longwire, its peers and a server in C; ONLY=echo-64x1 for one
	@$(BENCH)/bin/python tools/build.py
	@$(BENCH)/bin/python bench/run.py $(foreach name,$(ONLY),'$(name)') $(ARGS)

conform: build  ## Autobahn, all cases, both roles; BUILD=pure, FRONT_END=sync or trio
	@$(PY) conformance/run.py --role both --build $(BUILD) --cases all \
		--front-end $(or $(FRONT_END),asyncio)

dependents: build  ## other packages' tests on longwire.websockets; ONLY=uvicorn for one
	@$(PY) -m tests.differential.editions
	@$(PY) -m conformance.dependents.run $(ONLY) $(ARGS)
	@$(if $(ONLY),,$(PY) -m tests.differential.explore --programs $(or $(PROGRAMS),1000))

coverage: build  ## all tests on the pure build, with the lines that none of them ran
	@tools/peers.sh
	@$(PY) tools/test.py --cover

test-all: $(STAMP)  ## the tests on every Python from 3.11 up that is found here
	@$(PY) tools/test_all.py $(ARGS)

# libFuzzer comes with Atheris, which not every Python has.
fuzz: build  ## look for inputs that break a contract; SECONDS=300 for each of TARGET=
	@$(PY) -c 'import atheris' 2>/dev/null || \
		$(PY) -m pip install -qq --disable-pip-version-check --group fuzz || true
	@$(PY) -m fuzz.run $(if $(SECONDS),--seconds $(SECONDS)) $(TARGET)

soak: build  ## a server under peers of every kind, for SECONDS=300; then nothing is left
	@$(PY) tools/soak.py $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

chaos: build  ## hurt the brokers and nodes of the hub, for minutes; ARGS='-k name'
	@tools/peers.sh
	@LONGWIRE_CHAOS=long $(PY) -m pytest -q tests/hub/test_chaos.py tests/hub/test_*_chaos.py \
		tests/hub/test_nodes.py \
		$(ARGS)

sanitize: build  ## tests of the compiled layers with address and undefined-behaviour checks
	@$(PY) -m fuzz.sanitized python -m pytest -q -o pythonpath='. build/sanitized' \
		$(or $(ARGS),tests/core tests/session tests/http tests/fuzz)

docs: $(STAMP)  ## build the documents; warnings are errors
	@$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# Slow: it compiles for each Python. ARGS=sdist, wheels, smoke or npm for one part.
dist: $(STAMP)  ## build sdist, wheels and npm package into dist/, and use each
	@$(PY) tools/dist.py $(ARGS)

clean:  ## remove everything that make made, but for .venv
	rm -rf build dist .venvs .venv-bench .tools .logs docs/_build .coverage htmlcov
	rm -rf js/dist js/node_modules
	find src -name '*.so' -delete
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1	\2/p' Makefile | expand -t 18
