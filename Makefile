# One target, one job. Everything is installed into .venv by these rules; `make demo` needs Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# threads are counted by mureg itself; tests run in parallel, one thread each; compiled modules are kept, or each of the
# processes that tests start would compile the package again
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MPLBACKEND=Agg PYTHONDONTWRITEBYTECODE=

.PHONY: demo test test-slow test-all check bench clean sample sizes docs sbom
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	$(BIN)/mureg demo --overwrite -o demo-output

# by files, in the order of tests/conftest.py: what a module prepares is made once, and the longest files come first
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

# other programs, kills, spoiled files, whole runs: minutes
test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m slow

test-all: test test-slow

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/speed/run.py

# the site, in build/site; warnings are errors, nothing is fetched
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m mkdocs build --strict --quiet --site-dir build/site
	@echo "open build/site/index.html"

# the wheel, and the list of what it holds and needs, in dist
sbom: $(VENV)/.installed-dev
	$(BIN)/python -m hatchling build -t wheel -d dist
	$(BIN)/python scripts/sbom.py dist/mureg-*.whl

# what an installation for the clinic takes on the disk, by package
sizes:
	$(PYTHON) scripts/installed_sizes.py

clean:
	rm -rf $(VENV) .venv-peers demo-output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# for the clinic: no PyTorch
$(VENV)/.installed: constraints/ci.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'mureg needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints/ci.txt --editable .
	@touch $@

# torch first and pinned, so that no larger build of it is pulled in by another package
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints/ci.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints/ci.txt --editable ".[dev]"
	@touch $@
