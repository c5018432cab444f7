# sottovoce: one command per wish. `make help` lists them.
#
# Everything lives in .venv/ of this checkout, installed from locks with hashes. A stamp file says what is
# installed: the second run is instant, and a changed lock installs again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# make test TESTS="tests/unit/model -k fold"   runs a part
TESTS ?=
# two workers is what the suite is measured with; WORKERS=0 runs in one process
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo demo-device test test-sdk check format coverage offline corpus walk bench bench-features figures models promises cli-reference feature-pages faults fuzz audit-kills residue simulation planted-bugs campaigns lock clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run-installed  ## set up .venv/ and watch a real recording become sealed insight, its audio gone
	@$(BIN)/sottovoce demo

demo-device: $(VENV)/.created  ## serve the page that measures on the device: http://127.0.0.1:8765/ on this machine
	@$(BIN)/python scripts/device_server.py

test: $(VENV)/.dev-installed  ## run the test suite (at most 15 minutes on 2 cores)
	@$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

test-sdk: $(VENV)/.dev-installed  ## the browser SDK: Node, headless Chromium, real clips against Python (skips what is missing)
	@$(BIN)/python -m pytest -n 0 tests/sdk

check: $(VENV)/.dev-installed  ## style, types, import contracts, generated pages, documentation tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/promises.py --check
	@$(BIN)/python scripts/cli_reference.py --check
	@$(BIN)/python scripts/audit_vectors.py --check
	@$(BIN)/python scripts/feature_pages.py --check
	@$(BIN)/python scripts/model_page.py
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" tests/docs tests/house

format: $(VENV)/.dev-installed  ## rewrite the source in the house style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

coverage: $(VENV)/.dev-installed  ## branch coverage; fails under 95 % for model, sealing, usecases, voice/egemaps
	@$(BIN)/python -m pytest -q -n $(WORKERS) --cov --cov-branch --cov-report=term $(TESTS)
	@for room in model sealing usecases voice/egemaps; do \
	    $(BIN)/coverage report --include="src/sottovoce/$$room/*" --fail-under=95 --format=total >/dev/null \
	        && echo "$$room: at least 95 %" || { echo "$$room: under 95 % branch coverage"; exit 1; }; done

offline: $(VENV)/.dev-installed  ## run the test suite where only lo is, and count what tries to leave: zero
	@$(BIN)/python scripts/offline.py $(if $(TESTS),,--record) -m pytest -n $(WORKERS) $(TESTS)

corpus: $(VENV)/.dev-installed  ## analyse every real recording of ../shared/data; outcome per set
	@$(BIN)/python scripts/analyze_corpus.py

walk: $(VENV)/.dev-installed  ## everything a person may ask, by the command line, on every real recording of ../shared/data
	@$(BIN)/python scripts/walk_rights.py

bench: $(VENV)/.dev-installed  ## all benchmarks; figures with their conditions go to docs/reference/figures.md
	@for script in $$(ls benchmarks/bench_*.py | grep -v bench_features); do echo "== $$script"; \
	    record=$$(grep -q -e --record "$$script" && echo --record); \
	    $(BIN)/python "$$script" $$record || exit 1; done

bench-features: $(VENV)/.run-installed .opensmile-venv/.installed  ## CPU time of the features against openSMILE (in .opensmile-venv/, only for measuring)
	@$(BIN)/python benchmarks/bench_features.py

.opensmile-venv/.installed:
	@echo "installing opensmile into .opensmile-venv/ (audEERING Research License: no commercial use)"
	@$(PYTHON) -m venv .opensmile-venv && .opensmile-venv/bin/python -m pip --disable-pip-version-check install --quiet opensmile \
	    && touch $@ || echo "opensmile could not be installed: it is shown as missing"

figures: $(VENV)/.dev-installed bench  ## every figure of the documentation anew: benchmarks, installed size, corpus
	@$(BIN)/python scripts/installed_size.py --record
	@$(BIN)/python scripts/analyze_corpus.py --record
	@$(BIN)/python scripts/walk_rights.py --record
	@$(BIN)/python scripts/compare_device.py --chromium --record
	@$(BIN)/python scripts/recorder_losses.py --record

models: $(VENV)/.dev-installed  ## learn the models of ../shared/data anew, into build/models/; SHIP=1: into the package, with a new signer
	@$(BIN)/python scripts/make_models.py $(if $(SHIP),--ship --record)

promises: $(VENV)/.dev-installed  ## write docs/reference/promises.md from the tests
	@$(BIN)/python scripts/promises.py

cli-reference: $(VENV)/.dev-installed  ## write docs/reference/cli.md from the --help texts
	@$(BIN)/python scripts/cli_reference.py

feature-pages: $(VENV)/.dev-installed  ## write docs/reference/features/ and its pictures from the catalog
	@$(BIN)/python scripts/feature_pages.py

faults: $(VENV)/.dev-installed  ## crash and fail at every boundary, failing and full disks, 500 random kills; prints the fault table
	@$(BIN)/python tests/faults/report.py --record

fuzz: $(VENV)/.dev-installed  ## 10,000 damaged files through the sealed child, bombs, and damaged envelopes, receipts and proofs
	@$(BIN)/python tests/fuzz/report.py --record

audit-kills: $(VENV)/.dev-installed  ## kill a process 40 times while it writes the audit log: nothing acknowledged is lost
	@$(BIN)/python tests/faults/audit_kills.py --record

residue: $(VENV)/.dev-installed  ## search files and memory for pieces of marked recordings; show that a planted leak is found
	@$(BIN)/python -m pytest -q -n $(WORKERS) tests/residue tests/unit/adapters/test_extractor_residue.py

simulation: $(VENV)/.dev-installed  ## thousands of interleavings of verbs, kills, time and restored backups against naive models
	@STEPS=20 EXAMPLES=2000 HYPOTHESIS_PROFILE=dev $(BIN)/python -m pytest -q tests/simulation/test_interleavings.py
	@STEPS=20 EXAMPLES=1000 QUICK=1 $(BIN)/python -m pytest -q tests/simulation/test_rights_over_time.py

planted-bugs: $(VENV)/.dev-installed  ## plant bugs in a copy of the source, one at a time: the tests have to fail on each
	@$(BIN)/python tests/faults/planted_bugs.py

campaigns: $(VENV)/.dev-installed  ## all of the above, bounded in time; what ran and what could not goes to docs/reference/figures.md
	@$(BIN)/python scripts/campaigns.py --record

lock:  ## resolve the dependencies anew (UPGRADE=1: to the newest versions); needs uv
	@scripts/lock.sh

clean:  ## remove .venv/ and caches
	@rm -rf $(VENV) .opensmile-venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov dist

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { echo "sottovoce needs Python 3.11 or newer, and '$(PYTHON)' is not. Name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	    || { echo "'$(PYTHON)' has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating $(VENV)/"; $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

$(VENV)/.run-installed: $(VENV)/.created requirements/run.txt pyproject.toml hatch_build.py src/sottovoce/voice/egemaps/kernels.c
	@echo "installing what sottovoce needs (hashes checked)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.run-installed requirements/dev.txt
	@echo "installing the test tools (hashes checked)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@
