# Needs only Python >= 3.11, make and a C library. The first target to run makes .venv and installs
# into it; it is made again only when a locked requirements file changes.
#   make benchmark ARGS="--seeds 3"     arguments go to the command
#   make test VENV=/tmp/other           another environment (no spaces in its path)

VENV ?= .venv
ARGS ?=
PY := "$(VENV)/bin/python"
READY := $(VENV)/.ready
CODE := core generator augment classifiers benchmarks tests run_benchmark.py

# One thread a process: two processes with two threads each slow one another down (docs/log.md).
export OMP_NUM_THREADS ?= 1

.PHONY: benchmark smoke test cases check format lock clean help
.DEFAULT_GOAL := help

help:
	@echo "make benchmark  Table 2 (phase) at nano scale; make benchmark ARGS=\"...\" passes options"
	@echo "make smoke      everything, tiny, about two minutes"
	@echo "make test       the tests; make test ARGS=\"tests/core -x\" runs some"
	@echo "make cases      inputs from public bug reports; make cases ARGS=\"07 22\" runs some"
	@echo "make check      ruff, mypy, import-linter"
	@echo "make format     let ruff rewrite the code"
	@echo "make lock       resolve requirements*.in again"
	@echo "make clean      remove .venv and the tools' caches; results stay"

benchmark: $(READY)
	$(PY) run_benchmark.py --config ophnet_phase $(ARGS)

smoke: $(READY)
	$(PY) run_benchmark.py --config smoke $(ARGS)

test: $(READY)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

cases: $(READY)
	$(PY) -m tests.cases $(ARGS)

check: $(READY)
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)
	$(PY) -m mypy
	PATH="$(VENV)/bin:$$PATH" lint-imports

format: $(READY)
	$(PY) -m ruff check --fix $(CODE)
	$(PY) -m ruff format $(CODE)

# --no-deps: the lock is complete, and pip alone would add three more cv2 wheels (overrides.txt).
# uv installs about four times faster than pip; pip does the same job where uv does not run. Compiled
# now, the libraries need not be compiled by every process that imports them.
$(READY): requirements.txt requirements-dev.txt
	@echo "Setting up $(VENV) (about 6 GB, most of it the GPU libraries of torch) ..."
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	    python=; \
	done; \
	test -n "$$python" || { echo "Python >= 3.11 not found: install it, or name it with PYTHON=..." >&2; exit 1; }; \
	"$$python" -m venv --clear "$(VENV)"
	@$(PY) -m pip install --quiet --no-deps --constraint requirements-dev.txt uv \
	    && $(PY) -m uv pip install --python $(PY) --no-deps --compile-bytecode -r requirements.txt -r requirements-dev.txt \
	    || $(PY) -m pip install --no-deps -r requirements.txt -r requirements-dev.txt
	@touch "$@"

COMPILE := -m uv pip compile --quiet --python-version 3.11 --no-emit-index-url --override overrides.txt
lock: $(READY)
	$(PY) $(COMPILE) requirements.in -o requirements.txt
	$(PY) $(COMPILE) requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
