# The two commands of the README, `make demo` and `make test`, and what they need. Everything else is in `receipts --help`.
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The quick tests, on other Pythons; what opens files is among them, because 3.13 warns of one that is left open.
FAST := tests/test_deltas.py tests/test_ocr.py tests/merchants/test_resolution.py \
	$(addprefix tests/compaction/test_, conversion.py lease.py reader.py runs.py storing.py vectors.py working_copy.py)

# Hundreds of processes are started; where this is set each of them would compile all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: actionlint browser coverage demo test fast torture engine check docs page-picture stills bench bench-compaction clean
.DEFAULT_GOAL := test

# uv installs the pinned requirements in seconds where pip takes minutes.
$(INSTALLED): requirements/development.txt pyproject.toml one_consumer/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}. Way out: make PYTHON=python3.13 ...")'
	@echo "Installing the pinned dependencies into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --requirement requirements/development.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable one_consumer --editable .
	@# Only the environment that Pulumi.yaml names runs previews.
	@if [ "$(VENV)" = .venv ]; then $(BIN)/python .ci/bytecode; fi
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/receipts demo

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/pyrefly check --min-severity error
	$(BIN)/lint-imports

test: check
	@# Four, also on two cores: most of them wait for a stack.
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

	@.ci/pythons

fast: $(INSTALLED)
	$(BIN)/python -m pytest --quiet $(FAST)

# The same tests as in the gate, at full size.
torture: $(INSTALLED)
	LONG_TESTS=1 ENGINE_TESTS=all TORTURE_KILLS=140 TORTURE_HISTORIES=1000 LOAD_SWITCHES=20 SWITCH_KILLS=24 WORKER_SIGNALS=72 MANY_RUNS=10000 POISON_RUNS=60 EVERY_CALL=1 $(BIN)/python -m pytest -s tests/compaction/torture tests/compaction/test_many_runs.py tests/compaction/test_poison.py tests/compaction/test_merge.py tests/stages/signals tests/stages/test_event_order.py tests/switching tests/end_to_end tests/local/test_stack.py tests/page tests/pictures tests/test_documents.py tests/policy tests/guard tests/engine benchmarks

# Lines and branches by package; child processes are measured, too. The gate does not run under it. What commands import
# is not tested here, because coverage itself would be among it.
coverage: $(INSTALLED)
	$(BIN)/python -m pytest --quiet --numprocesses 4 --dist loadfile --no-loadscope-reorder --cov --cov-report= \
		--ignore tests/engine --ignore tests/page --ignore tests/compaction/torture --ignore tests/test_imports.py tests
	@$(BIN)/python -m coverage json --quiet -o .coverage.json
	@$(BIN)/python .ci/coverage .coverage.json

# The linter of the workflows, for its test; skipped without Go.
actionlint:
	@.ci/actionlint

# The real Pulumi CLI, for tests/engine and `receipts local up --engine pulumi`; four minutes, once.
engine:
	@.ci/engine

# Debian's Chromium, for the tests of the local page in a browser; they are skipped without one.
browser:
	@.ci/browser

# docs/page.png, from the running local stack.
page-picture: $(INSTALLED)
	@$(BIN)/python -m tests.page.picture

# docs/status.svg, docs/watch.svg and docs/search.svg, from the running local stack with the samples.
stills: $(INSTALLED)
	@$(BIN)/python -m tests.page.stills

docs: $(INSTALLED)
	@$(BIN)/python -m ops.documentation
	@$(BIN)/python -m tests.program.picture

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks

# Half an hour at full size; exit code 1 when a target is missed.
bench-compaction: $(INSTALLED)
	@$(BIN)/python -m benchmarks.compaction

clean:
	rm -rf .venv .receipts
