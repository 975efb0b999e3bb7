# make serve   installs the engine into .venv and starts it with the shipped channels on the embedded SQLite database
# make test    the same with the tools of the tests, then every check and every test
# make proof   the long proofs, for an hour or two: kills under load, dropped writes, fuzzing; make test has a short one of each
# make native  compiles the modules that every message goes through (a C compiler, some minutes): docs/why/native.md

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: serve native test proof check bench interop clean

serve: $(VENV)/installed
	$(BIN)/hl7auth serve

native: $(VENV)/installed
	$(PIP) --editable '.[native]'
	$(BIN)/hl7auth compile

test: $(VENV)/installed-for-tests
	$(BIN)/ruff format --check hl7auth tests benchmarks
	$(BIN)/ruff check hl7auth tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg
	HL7AUTH_NATIVE=/dev/null $(BIN)/python -m pytest --numprocesses auto --dist worksteal

# PROOF_POSTGRESQL=URL of an empty database adds a proof there
proof: $(VENV)/installed-for-tests
	$(PIP) --editable '.[fuzz]'
	$(BIN)/hl7auth prove-durability --rounds 200 --longest 0.6
	$(BIN)/hl7auth prove-durability --rounds 40 --longest 0.8 --unsynced
	$(BIN)/hl7auth prove-durability --rounds 60 --longest 0.8 --workers 2
	$(BIN)/hl7auth prove-durability --rounds 60 --reload
	[ -z "$(PROOF_POSTGRESQL)" ] || $(BIN)/hl7auth prove-durability --rounds 200 --longest 0.6 --database "$(PROOF_POSTGRESQL)"
	$(BIN)/python tests/fuzz/run.py --seconds 360

bench: $(VENV)/installed
	$(BIN)/hl7auth bench

# other people's software in Node, for tests/test_interop.py
interop:
	cd benchmarks/interop && npm install --no-package-lock --no-audit --no-fund

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/bin/python setup.cfg pyproject.toml constraints.txt
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/installed

# Debian ships Python without the part that makes environments: where we may, we fetch it; else we say what is missing
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hl7auth needs Python 3.11 or newer: make PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq python3-venv; } || \
	  { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
