# `make demo` and `make test` do all their own set-up, with the newest Python here that TensorFlow has wheels for, else
# with one that they get (see .ci/environment.sh). PYTHON=... chooses another.
PYTHON ?= $(shell sh .ci/python.sh)
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=
BUNDLES ?=
RESULTS ?= results/*.json
PYTHONS ?=
NETS ?=
SIZE ?=
LEARN ?=
EVALUATION ?=
ALIKE ?=
SUITES ?= bookworm trixie forky
LABELLED ?=
# The environments of the device side: one engine each, no TensorFlow.
DEVICE := litert onnx $(shell $(PYTHON) -c 'import sys; print("tflite" if sys.version_info < (3, 12) else "")' 2>/dev/null)
# A module's tests stay in one process: many share an export that takes half a minute. The longest modules come first
# (tests/conftest.py), so that no process is left alone with one at the end.
BY_FILE := --dist loadfile --no-loadscope-reorder
PARALLEL := --numprocesses auto $(BY_FILE)
# Tests of the device side wait half of their time, for processes, servers and deadlines: two at once for each processor.
WAITING := --numprocesses $(or $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))' 2>/dev/null),auto) $(BY_FILE)
# Of the others some wait: one more than there are processors.
MIXED := --numprocesses $(or $(shell $(PYTHON) -c 'import os; print(1 + (os.cpu_count() or 1))' 2>/dev/null),auto) $(BY_FILE)
# tests/runtime runs whole with LiteRT alone. With another engine alone only the tests run whose outcome depends on which
# engine is installed. Beside TensorFlow, where all engines are, these run, those that compare engines, and what needs
# the developers' packages: the others would find nothing new there. `make test-long` runs it whole with each engine.
TESTS_OF = $(foreach name,$(2),tests/$(1)/$(patsubst ./%,%,$(dir $(name))test_$(notdir $(name))).py)
BY_ENGINE := $(call TESTS_OF,runtime,bundle/verify engines/probe engines/selection features/extractor \
  package/boundaries package/greeting)
BETWEEN_ENGINES := $(call TESTS_OF,runtime,bundle/command_verify engines/device_bench engines/tuning \
  features/command_extract)
BY_PACKAGE := $(call TESTS_OF,runtime,bundle/bundle_reading bundle/hostile_bundles features/outputs features/ray \
  features/sklearn search/index services/serve services/serve_access services/serve_limits services/serve_process \
  store/convert)
# The tests that wait for processes, servers and files.
WAITS := $(call TESTS_OF,runtime,engines/device_bench engines/probe engines/start engines/trial features/command_extract \
  features/extractor features/inputs package/device_examples store/bulk store/bulk_ends store/bulk_stops) \
  $(wildcard tests/runtime/services/test_*.py) $(call TESTS_OF,benchmarks,run/processes run/run_resume) \
  $(call TESTS_OF,export,pipeline/export_interrupt pipeline/workers)
# Some tests of every package, for while one works: under a minute on two processors.
QUICK := $(call TESTS_OF,runtime,bundle/bundle_reading bundle/command_verify bundle/fidelity bundle/gate \
  bundle/manifest engines/selection features/extractor features/outputs images/formats images/resize package/structure \
  search/search) $(call TESTS_OF,export,convert/convert convert/float16 models/preprocessing package/structure \
  pipeline/workers) $(call TESTS_OF,benchmarks,report/compare report/statistics structure)
PIP := -m pip install --quiet --disable-pip-version-check --no-compile
# Tests start thousands of processes. Where this is set, as in many containers, each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo quick test test-long test-waiting test-device check format bench bench-full bench-publish backbones backbone-costs hub transformer-speed int8-calibration int8-hard export-cost npu saved-models stress soak growth hostile clean test-python test-bare test-candidate test-x86 test-arm test-arm-short bench-arm test-web check-wheels platforms wheel install-lines test-docs serve-speed serve-stress watch-stress containers docs docs-serve tutorials

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## make .venv with edgefeat[all] and the developer tools

$(VENV)/.installed: pyproject.toml constraints.txt
	sh .ci/environment.sh $(PYTHON) $(VENV)
	@touch $@

demo: install  ## export MobileNetV2, extract features without TensorFlow, show what that buys (PHOTOS=folder)
	$(BIN)/python -m edgefeat_bench.demo $(if $(PHOTOS),--photos '$(PHOTOS)')

quick: install  ## some tests of every package, under a minute, for while you work
	$(BIN)/python -m pytest -q $(PARALLEL) $(wildcard $(QUICK))

test:  ## run every test, the device side also without TensorFlow
	+@$(MAKE) --no-print-directory --jobs 2 install $(DEVICE:%=.venv-%/.installed)
	+@$(MAKE) --no-print-directory test-device
	$(BIN)/python -m pytest $(MIXED) $(BY_ENGINE) $(BETWEEN_ENGINES) $(BY_PACKAGE) $(filter-out tests/runtime/,$(wildcard tests/*/))

test-long: install  ## what `make test` leaves out, some minutes each: int8 on real weights, recipes, large models, a cluster
	+@$(MAKE) --no-print-directory test-device BY_ENGINE=tests/runtime
	EDGEFEAT_LONG=1 $(BIN)/python -m pytest $(sort $(shell grep -rl 'import LONG' tests --include='test_*.py'))

test-waiting: install  ## the tests that wait, ten times beside two busy loops (half an hour; RUNS=3)
	$(BIN)/python tests/stress/waiting.py --runs $(or $(RUNS),10) $(WAITS)

test-device: $(DEVICE:%=.venv-%/.installed)  ## run tests/runtime from the built wheel, one environment per engine
	+@$(MAKE) --no-print-directory --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync) $(DEVICE:%=test-device-%)

test-device-%: .venv-%/.installed
	@echo "== tests/runtime with edgefeat[$*] alone"
	@.venv-$*/bin/python -m pytest -q $(WAITING) -p no:cacheprovider $(if $(filter litert,$*),tests/runtime,$(BY_ENGINE))

wheel: dist/.built  ## dist/edgefeat-...-py3-none-any.whl, to install on any machine
	@ls dist/*.whl

# From the wheel, not the checkout: what is missing from it must be missed here.
dist/.built: .venv-build/.installed pyproject.toml README.md $(shell find runtime export benchmarks -name '*.py' -o -name '*.sh' -o -path '*/templates/*' -o -path '*/page/*')
	rm -rf dist && .venv-build/bin/python -m build --wheel --outdir dist >/dev/null
	@touch $@

.venv-build/.installed:
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/python $(PIP) 'build>=1.2'
	@touch $@

install-lines: install  ## the install commands of README and docs, after a new version or the first published one
	$(BIN)/python .ci/install_lines.py

test-docs: install .venv-ansible/.installed  ## every command of README and docs, as printed, in a new environment (minutes)
	PATH="$(CURDIR)/.venv-ansible/bin:$$PATH" EDGEFEAT_DOCS=all $(BIN)/python -m pytest -q -rs tests/docs

.venv-ansible/.installed:
	$(PYTHON) -m venv .venv-ansible
	.venv-ansible/bin/python $(PIP) 'ansible-core>=2.16'
	@touch $@

.venv-%/.installed: dist/.built
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python $(PIP) "$$(ls dist/*.whl)[$*]" 'pytest>=8' 'pytest-timeout>=2.3' 'pytest-xdist>=3.6' 'hypothesis>=6.100'
	.venv-$*/bin/python $(PIP) --no-deps --force-reinstall dist/*.whl
	@touch $@

# Chromium is Debian's or the one that EDGEFEAT_CHROMIUM names; EDGEFEAT_WEB_BUNDLE is a bundle to run as well.
test-web: install  ## the page of examples/web in headless Chromium, against edgefeat (needs node and chromium)
	@command -v npm >/dev/null || { echo "Node.js is missing: apt-get install nodejs npm" >&2; exit 1; }
	@command -v "$${EDGEFEAT_CHROMIUM:-chromium}" >/dev/null || { echo "Chromium is missing: apt-get install chromium" >&2; exit 1; }
	npm ci --prefix examples/web --ignore-scripts --no-audit --no-fund
	npm ci --prefix tests/web --no-audit --no-fund
	EDGEFEAT_PLATFORM_ROWS=$(CURDIR)/results/platforms $(BIN)/python -m pytest -s tests/web

check-wheels: .venv-wheels/.installed  ## do the extras resolve to wheels alone, on every platform and Python (minutes)
	.venv-wheels/bin/python tests/systems/wheels.py

.venv-wheels/.installed:
	$(PYTHON) -m venv .venv-wheels
	.venv-wheels/bin/python $(PIP) 'uv>=0.5'
	@touch $@

test-python: .venv-wheels/.installed dist/.built  ## the device side on each Python here, oldest and newest packages (minutes; PYTHONS="3.11 3.14")
	.venv-wheels/bin/python tests/systems/pythons.py dist/*.whl $(PYTHONS)

test-bare:  ## README's two commands in bare Debian systems, for an hour; needs root and debootstrap (SUITES="bookworm forky")
	@for suite in $(SUITES); do sh tests/systems/bare.sh $$suite || exit 1; done

test-x86: install  ## features on emulated older x86 processors, without VNNI and without AVX (minutes; BUNDLES="a.edgefeat")
	$(BIN)/python -m tests.systems.x86 $(BUNDLES)

test-candidate: .venv-candidate/.installed  ## tests/export with the release candidate of the next TensorFlow
	.venv-candidate/bin/python -m pytest $(PARALLEL) tests/export

.venv-candidate/.installed: pyproject.toml constraints.txt .ci/tensorflow-candidate.txt
	sh .ci/environment.sh $(PYTHON) .venv-candidate --candidate
	@touch $@

platforms: test-device  ## docs/platforms.md, from what was measured here and the rows of test-arm and test-web
	@mkdir -p results && for engine in $(DEVICE); do \
	  .venv-$$engine/bin/edgefeat verify --json tests/data/one_tap.edgefeat > results/verify.json && \
	  .venv-$$engine/bin/python tests/systems/platforms.py record --how 'make platforms' --bundle one_tap \
	    --verify results/verify.json --output "results/platforms/device-$$engine.json" || exit 1; \
	done
	$(BIN)/python tests/systems/platforms.py page

check: install  ## formatting, lint, imports between the packages, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

docs: $(VENV)/.docs-installed  ## the site of docs/ in build/site; a dead link, an orphan page or an undocumented name is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file .ci/site/mkdocs.yml

docs-serve: docs  ## the same at http://127.0.0.1:8000, built again when a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --config-file .ci/site/mkdocs.yml

# Needs ImageNet weights, and for one of them a model of Teachable Machine: EDGEFEAT_TEST_DATA.
tutorials: install  ## follow the tutorials of docs/ by copying, and compare what they print (minutes)
	EDGEFEAT_TUTORIALS=all $(BIN)/python -m pytest tests/docs/test_tutorials.py

$(VENV)/.docs-installed: $(VENV)/.installed
	$(BIN)/python $(PIP) --constraint constraints.txt --group docs
	@touch $@

format: install  ## format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## MobileNetV2 against the full TensorFlow path and the peers, here: results/ (PHOTOS=folder)
	$(BIN)/edgefeat-bench run mobilenet_v2 $(if $(PHOTOS),'$(PHOTOS)') --output results
	$(BIN)/edgefeat-bench report results/*.json --output results/report

# A part an hour: each network with each number of threads has a file of its own, and what is done is not done again.
NETWORKS := mobilenet_v2 resnet50 mobilenet_v3_small vgg16 efficientnet_lite0 hub:vit_base_patch16_224_imagenet
comma := ,

bench-full: install  ## six networks, one thread and two, cost curves, for hours; resumes (NETS=a,b.edgefeat THREADS=1 PHOTOS= LABELLED=folder)
	@for network in $(or $(subst $(comma), ,$(NETS)),$(NETWORKS)); do for threads in $(or $(THREADS),1 2); do \
	  $(BIN)/edgefeat-bench run "$$network" $(if $(PHOTOS),'$(PHOTOS)') --full --threads $$threads \
	    $(if $(LABELLED),--labelled '$(LABELLED)') --resume --output results || exit 1; \
	done; done
	$(BIN)/edgefeat-bench report results/*.json --output results/report

bench-publish: install  ## results as docs/benchmarks, and their figures into README.md (RESULTS=files, the first gives the tables)
	$(BIN)/edgefeat-bench report $(RESULTS) --output docs/benchmarks --readme README.md

backbones: install  ## every backbone exported whole: docs/backbones.md, for hours; resumes (NETS=a,b PHOTOS=folder SIZE=small)
	$(BIN)/python -m tests.export.tables.backbones $(if $(NETS),--names '$(NETS)') $(if $(PHOTOS),--photos '$(PHOTOS)') $(if $(SIZE),--size $(SIZE))

# The times are ratios, measured in turn; an idle machine gives narrower ones.
backbone-costs: install  ## size, MACs, time and int8 of a dozen backbones: docs/backbones.md, up to an hour; resumes (PHOTOS=folder NETS=a,b)
	$(BIN)/python -m tests.export.tables.backbone_costs --photos '$(PHOTOS)' $(if $(NETS),--names '$(NETS)')

hub: install  ## small networks of every kind of KerasHub with two poolings against KerasHub, minutes (PHOTOS=folder NETS=a,b)
	$(BIN)/python -m tests.export.tables.hub '$(PHOTOS)' $(if $(NETS),--names '$(NETS)')

# On an idle machine.
transformer-speed: install  ## ViT-B beside plain exports of the same network: docs/transformers.md, minutes (PHOTOS=folder)
	$(BIN)/python -m tests.export.tables.plain_exports --photos '$(PHOTOS)'

# ImageNet weights from KERAS_HOME or the net, others from EDGEFEAT_TEST_DATA.
int8-calibration: install  ## int8 of trained networks by what it is calibrated on: docs/fidelity.md, half an hour; resumes (PHOTOS= EVALUATION= ALIKE=folders)
	$(BIN)/python -m tests.export.tables.calibration --photos '$(PHOTOS)' --evaluation '$(EVALUATION)' $(if $(ALIKE),--alike '$(ALIKE)')

# Needs EDGEFEAT_TEST_DATA for the network that the others learn from; on an idle machine, for the times.
int8-hard: install  ## int8 of networks that are hard to quantize, after they learned: docs/fidelity.md, an hour; resumes (LEARN=folder,folder PHOTOS= EVALUATION=)
	$(BIN)/python -m tests.export.tables.learned --photos '$(LEARN)' --calibration '$(PHOTOS)' --evaluation '$(EVALUATION)' $(if $(NETS),--names '$(NETS)')

# On an idle machine: it also times the stock tools.
export-cost: install  ## time and memory of exports beside the stock tools: docs/backbones.md, for an hour; resumes (PHOTOS=folder NETS=a,b)
	$(BIN)/python -m tests.export.tables.cost --photos '$(PHOTOS)' $(if $(NETS),--names '$(NETS)')

# ImageNet weights from KERAS_HOME or the net, others from EDGEFEAT_TEST_DATA.
npu: install  ## networks without floats on NPUs and in TensorFlow Lite Micro: docs/npu.md (minutes; NETS=a,b PHOTOS= LABELLED=folder)
	$(BIN)/python -m tests.export.tables.chips $(if $(NETS),--names '$(NETS)') $(if $(PHOTOS),--photos '$(PHOTOS)') $(if $(LABELLED),--evaluation '$(LABELLED)')

saved-models: install  ## saved models of every format and Keras version against their own Keras: docs/your-model.md (minutes)
	$(BIN)/python tests/export/tables/saved_models.py

# Downloads and what is made of them stay in .arm/. Neither root nor an environment is needed.
test-arm:  ## tests/runtime, verify and features on emulated Raspberry Pis, one a processor, for hours (BUNDLES="a.edgefeat b.edgefeat")
	$(PYTHON) -m tests.arm $(BUNDLES)

test-arm-short:  ## the least of it: LiteRT on an emulated Raspberry Pi 4, in minutes
	$(PYTHON) -m tests.arm --short $(BUNDLES)

bench-arm: install  ## instructions per picture on emulated Pi 3, 4 and 5: docs/benchmarks/arm.md; resumes (BUNDLES=...)
	$(BIN)/python -m tests.arm.counting $(BUNDLES)

soak: install  ## 20,000 pictures through each installed engine, and no growth of memory (BUNDLE=folder)
	$(BIN)/python tests/stress/soak.py '$(or $(BUNDLE),tests/data/one_tap.edgefeat)'

growth: install  ## extraction, search and duplicates with 1,000 to 100,000 rows, as a table (BUNDLE=folder)
	$(BIN)/python -m tests.stress.growth '$(or $(BUNDLE),tests/data/one_tap.edgefeat)'

hostile: install  ## thousands of malformed pictures: each a picture or one clear error, soon (PHOTOS=folder to spoil)
	$(BIN)/python -m tests.stress.hostile_pictures --keep build/hostile $(if $(PHOTOS),--seeds '$(PHOTOS)')

stress: install  ## kill, damage and fill up `extract --into` for hours, compare every row (BUNDLE=folder PHOTOS=folder)
	test -d build/stress/photos || $(BIN)/python tests/stress/photos.py build/stress/photos 20000 $(if $(PHOTOS),--real '$(PHOTOS)')
	$(BIN)/python tests/stress/bulk.py '$(or $(BUNDLE),tests/data/one_tap.edgefeat)' build/stress/photos --work build/stress/work \
	  --kills 200 --damages 100 --full 20 --worker-kills 100

# Small generated photos, where PHOTOS names no folder.
FEW := build/stress/few

$(FEW): | $(VENV)/.installed
	$(BIN)/python tests/stress/photos.py $(FEW) 200 --broken 0

serve-speed: install $(FEW)  ## `edgefeat serve` beside `Extractor.stream`: photos/s, and what HTTP adds (BUNDLE=folder PHOTOS=folder)
	@test -n '$(BUNDLE)' || { echo "name a bundle, as BUNDLE=mobilenet_v2.edgefeat: the tests' network is so small that HTTP would be half of it" >&2; exit 1; }
	$(BIN)/python tests/stress/services/serve_speed.py '$(BUNDLE)' '$(or $(PHOTOS),$(FEW))'

serve-stress: install $(FEW)  ## good, hostile, slow and silent clients on one server for ten minutes (BUNDLE=folder PHOTOS=folder)
	$(BIN)/python -m tests.stress.services.serve_hostile '$(or $(BUNDLE),tests/data/one_tap.edgefeat)' '$(or $(PHOTOS),$(FEW))'

watch-stress: install $(FEW)  ## kill `edgefeat watch` 30 times while 2,000 photos arrive (BUNDLE=folder PHOTOS=folder)
	$(BIN)/python tests/stress/services/watch_kill.py '$(or $(BUNDLE),tests/data/one_tap.edgefeat)' '$(or $(PHOTOS),$(FEW))'
	$(BIN)/python tests/stress/services/watch_kill.py '$(or $(BUNDLE),tests/data/one_tap.edgefeat)' '$(or $(PHOTOS),$(FEW))' --lines

containers: install  ## lint Containerfile and compose.yaml, and build and try the image where Docker or Podman is
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/systems/containers.sh

clean:  ## remove environments, caches and what was built
	rm -rf .venv .venv-* dist build results demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
