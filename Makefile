# `make demo` and `make test` do all their own set-up. PYTHON picks the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=
# The environments of the device side: one engine each, no TensorFlow.
DEVICE := litert onnx $(shell $(PYTHON) -c 'import sys; print("tflite" if sys.version_info < (3, 12) else "")' 2>/dev/null)
PIP := -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test test-device check format bench matrix clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## make .venv with edgefeat[all] and the developer tools

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "edgefeat's export needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --upgrade 'pip>=25.1'
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

demo: install  ## export MobileNetV2, extract features without TensorFlow, show what that buys (PHOTOS=folder)
	$(BIN)/python -m edgefeat_bench.demo $(if $(PHOTOS),--photos '$(PHOTOS)')

test: install test-device  ## run every test, the device side also without TensorFlow
	$(BIN)/python -m pytest

test-device: $(DEVICE:%=.venv-%/.installed)  ## run tests/runtime from the built wheel, one environment per engine
	@for engine in $(DEVICE); do \
	  echo "== tests/runtime with edgefeat[$$engine] alone"; \
	  .venv-$$engine/bin/python -m pytest -q -p no:cacheprovider tests/runtime || exit 1; \
	done

# From the wheel, not the checkout: what is missing from it must be missed here.
dist/.built: $(VENV)/.installed $(shell find runtime export benchmarks -name '*.py')
	rm -rf dist && $(BIN)/python -m build --wheel --outdir dist >/dev/null
	@touch $@

.venv-%/.installed: dist/.built
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python $(PIP) "$$(ls dist/*.whl)[$*]" 'pytest>=8' 'pytest-timeout>=2.3' 'hypothesis>=6.100'
	.venv-$*/bin/python $(PIP) --no-deps --force-reinstall dist/*.whl
	@touch $@

check: install  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install  ## format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## compare edgefeat with the full TensorFlow path on this machine: results/
	$(BIN)/edgefeat-bench run --output results

matrix: install  ## every backbone as every variant against Keras, for hours; resumes (NETS=a,b PHOTOS=folder)
	$(BIN)/python tests/export/matrix.py $(if $(NETS),--nets '$(NETS)') $(if $(PHOTOS),--photos '$(PHOTOS)')

clean:  ## remove environments, caches and what was built
	rm -rf .venv .venv-* dist build results demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
