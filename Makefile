# Two commands: `make demo` shows what Promptile does, `make test` runs the whole suite. Both create what is missing.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Debian and Ubuntu keep venv in a package of its own.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
WITH_VENV = { rm -rf $(VENV) && $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y $(notdir $(PYTHON))-venv \
    && $(PYTHON) -m venv $(VENV); }

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
	@echo "Installing Promptile into $(VENV): a minute or two"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || $(WITH_VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/dev: $(VENV)/base
	@echo "Installing what the tests need"
	$(PIP) --editable '.[dev,napari,dicom]'
	$(PIP) --editable '.[torch]' || echo "No torch for this Python: the tests of the models that need it will be skipped"
	$(PIP) --editable '.[hf]' || echo "No transformers for this Python: the tests of the models that need it will be skipped"
	$(PIP) --editable '.[onnx,openvino]' || echo "No ONNX Runtime or OpenVINO for this Python: the tests of runtimes will be skipped"
	touch $@

clean:
	rm -rf $(VENV) demo dist
