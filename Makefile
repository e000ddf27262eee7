# make demo    install into .venv and run the main job on handwritten digits
# make test    install what the tests need and run them all, in WORKERS processes (2)
# make lint types contracts    what CI checks besides
# make docs    the documentation site, in build/site
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TYPED := cuda tensorrt_types tensorrt_api tensorrt_here tensorrt_jobs session_tensorrt trtexec
WORKERS ?= 2
STAMP := $(VENV)/.installed

.PHONY: demo test quick lint types contracts docs check clean

demo: $(STAMP)-demo
	$(BIN)/python -m edgetune.demo demo
	$(BIN)/edgetune build demo/edgetune.toml --target x86-cpu

test: $(STAMP)-dev
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --durations 30 --durations-min 5

quick: $(STAMP)-dev
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)-dev
	$(BIN)/mypy
	MYPYPATH=runtime/python $(BIN)/mypy --strict --follow-imports=silent $(addprefix -m edgetune_runtime.,$(TYPED))

contracts: $(STAMP)-dev
	$(BIN)/lint-imports

docs: $(STAMP)-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: lint types contracts docs test

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP)-demo: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(STAMP)-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
