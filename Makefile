# Two commands: `make demo` shows what Promptile does, `make test` runs the whole suite. Both create what is missing.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/base
	$(BIN)/promptile demo demo

test: $(VENV)/dev
	bash tests/run.sh

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Installed again when what is installed from changes: the manifest and the samples are copied at install time.
$(VENV)/base: pyproject.toml constraints.txt napari.yaml $(wildcard sample_data/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) --editable '.[dev,napari,dicom]'
	touch $@

clean:
	rm -rf $(VENV) demo dist
