# make run    from nothing to a running service with sample data, on SQLite
# make test   from nothing to the whole suite, on SQLite and on a real PostgreSQL
# Both build .venv on their first run, from the pinned and hashed packages of the lock files.

PYTHON ?= python3
# The address and everything else of the service is set by PRIVACY_* in the environment.
START ?= $(BIN)/privacy serve --demo
# Arguments for pytest, such as TESTS='tests/keys -k rotation -n 0'.
TESTS ?=

VENV := .venv
BIN := $(VENV)/bin
# A stamp is written when its step has succeeded: an interrupted step is done again, a finished one is not.
MADE := $(VENV)/.made
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
SPARK := $(VENV)/.spark
# Everything is in the lock, the build backend too, so an install resolves nothing and trusts nothing but it.
# Bytecode is compiled when a module is first loaded: most never are, and compiling all of them takes longer than
# loading what is needed. So nothing may forbid to write it.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile
unexport PYTHONDONTWRITEBYTECODE
CHECKOUT := $(INSTALL) --no-build-isolation --editable .

LOCK_VENV := .venv-lock
UV := uv==0.13.9
RUNNING := --extra server --extra postgresql --extra detection --extra analytics --extra demo --extra build
COMPILE := $(LOCK_VENV)/bin/uv pip compile pyproject.toml \
	--quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help run test check format bench lock clean
.DELETE_ON_ERROR:
.PRECIOUS: $(VENV)/half-%.lock $(VENV)/.half-%

help:
	@echo 'make run      the service with sample data, on SQLite'
	@echo 'make test     static checks and the whole suite, on SQLite and PostgreSQL'
	@echo 'make check    static checks: style, types, walls between packages'
	@echo 'make format   rewrites the sources in the house style'
	@echo 'make bench    the benchmarks'
	@echo 'make lock     resolves the newest allowed packages into the lock files'
	@echo 'make clean    removes the environment and every cache'

run: $(RUN)
	exec $(START)

test:
	$(MAKE) --no-print-directory -j2 $(DEV)
	$(MAKE) --no-print-directory -j2 check $(SPARK)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(TESTS)

check: $(DEV)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

bench: $(DEV)
	$(BIN)/python -m bench

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Steward needs Python 3.11 or newer as $(PYTHON); name another: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) has no venv module; on Debian and Ubuntu the package python3-venv carries it' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(RUN): requirements.lock pyproject.toml | $(MADE)
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(CHECKOUT)
	@touch $@

# The same pins and more, so what `make run` needs is there as well. Two halves, for `make -j2`: an installation is the
# work of one processor.
$(VENV)/half-%.lock: requirements-dev.lock | $(MADE)
	awk -v half=$* '/^[A-Za-z0-9]/ { entry++ } entry % 2 == half' $< > $@

$(VENV)/.half-%: $(VENV)/half-%.lock
	$(INSTALL) --require-hashes --requirement $<
	@touch $@

$(DEV): $(VENV)/.half-0 $(VENV)/.half-1 requirements.lock pyproject.toml | $(MADE)
	$(CHECKOUT)
	@touch $(RUN) $@

# Half a gigabyte that few tests need, in a folder of its own: it is built while the static checks run.
$(SPARK): requirements-spark.lock | $(DEV)
	$(INSTALL) --require-hashes --no-build-isolation --upgrade --target $(VENV)/spark --requirement requirements-spark.lock
	@touch $@

lock:
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check '$(UV)'
	$(COMPILE) $(RUNNING) --extra dev --output-file requirements-dev.lock
	$(COMPILE) $(RUNNING) --constraint requirements-dev.lock --output-file requirements.lock
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["spark"], sep="\n")' \
		| $(subst pyproject.toml,-,$(COMPILE)) --output-file requirements-spark.lock

clean:
	rm -rf $(VENV) $(LOCK_VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find api bench cli jobs keys privacy tests -name __pycache__ -type d -prune -exec rm -rf {} +
