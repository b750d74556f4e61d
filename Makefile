# Every target sets up what it needs first, outside the checkout; see tools/dev/environment.py.
# Variables: ARGS (more arguments), WORKERS (processes of the tests; auto: one per core), PYTHON
# (interpreter to build from), MMDYNAMICVIS_ENV_ROOT.

BUILDER := $(or $(PYTHON),python3)
ifeq ($(shell command -v $(BUILDER)),)
$(error $(BUILDER) not found: apt-get install python3, or name another with PYTHON=...)
endif
WORKERS := auto
# One test at a time to each worker, in our order: slow ones, the last, differ most in length.
PARALLEL := -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
ENVIRONMENT := $(BUILDER) tools/dev/environment.py
RUN := $(ENVIRONMENT) run
ifdef PYTHON
export PYTHON
endif

.PHONY: help demo page test test-gpu lint format python

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo:  ## train, test and draw on synthetic scenes, a few minutes on two cores
	@$(RUN) python tools/demo.py $(ARGS)

page: work_dirs/demo/last_checkpoint  ## try the demo's model on a local web page
	@$(RUN) python tools/page.py $(ARGS)

work_dirs/demo/last_checkpoint:
	@$(RUN) python tools/demo.py

test:  ## run all tests, fast ones first, e.g. ARGS='-m "not slow"' or ARGS=tests/ops
	@$(RUN) python -m pytest $(PARALLEL) $(ARGS)

test-gpu:  ## run the tests of the GPU kernels natively
	@$(RUN) python -m pytest -m 'gpu or interpreter' $(ARGS)

lint:  ## check style, formatting and the direction of imports
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) lint-imports

format:  ## let ruff mend what it can
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

python:  ## print the path of the environment's interpreter
	@$(ENVIRONMENT) python
