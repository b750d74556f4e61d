# Every target first sets up its environment, outside the checkout, with tools/dev/environment.sh.
# Variables: ARGS (further arguments), WORKERS (test processes; auto: one per core), PYTHON
# (interpreter of the environment).

WORKERS := auto
# Workers get one test at a time, in our order, because slow tests, which come last, vary in length.
PYTEST := python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
# One environment per checkout, outside of it because mim searches the checkout for configs.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mmdynamicvis/environments
VENV := $(CACHE)/$(shell printf %s '$(CURDIR)' | sha256sum | cut -c 1-12)
SET_UP := tools/dev/environment.sh
# Files that the environment depends on; it is updated when they change.
METADATA := setup.py pyproject.toml mmdynamicvis/version.py $(SET_UP) $(wildcard requirements/*.txt)
# Tests of the lanes with other versions: all that do not need the newest packages.
LANE := tests/data tests/scenes tests/embedding/test_embedder.py \
	tests/inference/test_inferencers.py tests/change_detection tests/classification tests/compat \
	tests/configs tests/detection tests/drop_in/test_drop_in.py tests/engine tests/models tests/ops \
	tests/pretraining tests/retrieval tests/segmentation tests/test_registry.py \
	tests/visualization --ignore=tests/configs/test_rotated_configs.py --ignore=tests/data/test_dota.py
LANE_SLOW := tests/tools/test_mim.py tests/drop_in/test_drop_in.py \
	tests/segmentation/test_bands_visualization.py
# Runs a command in an environment, which comes first on its PATH.
in = @env -u PYTHONPATH PATH="$(1)/bin:$$PATH" VIRTUAL_ENV="$(1)"
RUN = $(call in,$(VENV))

# test-classic: the classic OpenMMLab packages, PYTHON=python3.11; test-minimum: the oldest supported
# versions, PYTHON=python3.10.
.PHONY: help demo page ops test test-all test-gpu test-classic test-minimum test-wheel docs \
	lint format python

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/light  ## map, train, test and draw on synthetic scenes; compiles nothing
	$(RUN) python tools/demo.py $(ARGS)

page: $(VENV)/light work_dirs/demo/last_checkpoint  ## try the demo's model on a local web page
	$(RUN) python tools/page.py $(ARGS)

work_dirs/demo/last_checkpoint: | $(VENV)/light
	$(RUN) python tools/demo.py

ops: $(VENV)/ops  ## compile mmcv's ops, which detection and segmentation need (10 to 15 minutes)

test: $(VENV)/ops  ## run the tests for every change, e.g. ARGS=tests/ops
	$(RUN) $(PYTEST) -m 'not exhaustive' $(ARGS)

test-all: $(VENV)/ops  ## run all tests
	$(RUN) $(PYTEST) $(ARGS)

test-gpu: $(VENV)/ops  ## run the tests of the GPU kernels on a GPU
	$(RUN) python -m pytest -m 'gpu or interpreter' $(ARGS)

test-wheel: $(VENV)-wheel/wheel  ## build a wheel and test it in its own environment
	$(call in,$(VENV)-wheel) pytest tests/packaging/test_wheel.py $(ARGS)

test-classic test-minimum: test-%: $(VENV)-%/wheel
	$(call in,$(VENV)-$*) $(PYTEST) $(LANE) -m 'not slow and not interpreter' $(ARGS)
	$(call in,$(VENV)-$*) $(PYTEST) $(LANE_SLOW) -m slow $(ARGS)

docs: $(VENV)/docs  ## build the documentation and run its notebooks; warnings are errors
	$(RUN) sphinx-build -c docs --fail-on-warning --keep-going $(ARGS) . $(VENV)-docs
	@echo $(VENV)-docs/index.html

lint: $(VENV)/light  ## check style, formatting, spelling and the direction of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) lint-imports
	$(RUN) codespell $$(git ls-files '*.py' '*.md' '*.toml' '*.sh' '*.cpp' '*.h')

format: $(VENV)/light  ## apply ruff's fixes and formatting
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

python: $(VENV)/light  ## print the path of the environment's interpreter
	@echo $(VENV)/bin/python

$(VENV)/light: $(METADATA)
	@$(SET_UP) $(VENV) requirements/environment.txt light

$(VENV)/ops: $(METADATA) | $(VENV)/light
	@$(SET_UP) $(VENV) requirements/environment.txt ops

$(VENV)/docs: $(METADATA) | $(VENV)/ops
	@$(SET_UP) $(VENV) requirements/environment.txt docs

# The environments of other lanes have the checkout as a wheel, in which openmim finds configs.
SOURCES := $(shell git ls-files mmdynamicvis configs tools)
$(VENV)-wheel/wheel: $(METADATA) $(SOURCES)
	@$(SET_UP) $(VENV)-wheel requirements/environment.txt wheel

$(VENV)-classic/wheel $(VENV)-minimum/wheel: $(VENV)-%/wheel: $(METADATA) $(SOURCES)
	@$(SET_UP) $(VENV)-$* requirements/$*.txt wheel
