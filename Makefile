# Every target sets up what it needs by itself; `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEER   := .venv-peer
MIN    := 3.11

export PREFECT_SERVER_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help demo ready test test-long lint up bench lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run $(VENV)/.rust $(VENV)/.ssh  ## Take an algo from source to shadow, two policies to sandbox
	@$(BIN)/python -m sequence.demo

# A file stays on one worker, which shares its servers; in the order of tests/conftest.py, long files first. Many tests
# wait for servers and other processes, so there is one worker more than two cores need.
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder

ready: $(VENV)/.dev $(VENV)/.rust $(PEER)/.made  ## Set up all that tests need

test: ready lint  ## Lint, type-check and test (no long sweeps)
	$(BIN)/python -m pytest -m "not long" $(SPREAD)

test-long: ready lint  ## All tests, the long sweeps too
	HYPOTHESIS_PROFILE=fresh $(BIN)/python -m pytest $(SPREAD)

lint: $(VENV)/.dev  ## Formatting, lint, types and the one-way import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

up: $(VENV)/.run $(VENV)/.rust  ## Start Prefect's server and serve the flows until Ctrl-C
	@$(BIN)/python -m flows.serve

bench: $(VENV)/.dev $(VENV)/.rust $(PEER)/.made  ## Measure replay beside hftbacktest, shadow and routing; write BENCHMARKS.md
	@$(BIN)/python benchmarks/replay_speed.py --write BENCHMARKS.md
	@$(BIN)/python benchmarks/evaluation_cost.py --append BENCHMARKS.md

lock: $(VENV)/.dev  ## Write the lock files anew (exact versions, hashes, no addresses)
	$(BIN)/uv pip compile pyproject.toml --upgrade --group build -o requirements.lock $(LOCK_FLAGS)
	$(BIN)/uv pip compile pyproject.toml --upgrade --group dev -c requirements.lock -o requirements-dev.lock $(LOCK_FLAGS)
	$(BIN)/uv pip compile benchmarks/peer/requirements.in --no-deps --upgrade -o benchmarks/peer/requirements.lock $(LOCK_FLAGS)
LOCK_FLAGS := --universal --python-version $(MIN) --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet

clean:  ## Remove the virtual environment, caches and the demo's output
	rm -rf $(VENV) $(PEER) .cache demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# --- set-up: the environment from the lock, then a Rust that can compile to WASM ---
# The lock is complete, so pip has nothing to resolve: --no-deps also keeps it from looking past the pins for extras.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python $(MIN) or newer is needed; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Run: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# Python compiles a module when it is first imported; most modules of the packages never are.
INSTALL = -m pip install --quiet --disable-pip-version-check --no-compile

$(VENV)/.run: $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing the locked packages (about a minute) ..."
	@$(BIN)/python $(INSTALL) --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "Installing the locked test tools ..."
	@$(BIN)/python $(INSTALL) --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

# hftbacktest, which the engine is measured beside and compared with (docs/fidelity.md). It needs an older NumPy than
# the project: an environment of its own.
$(PEER)/.made: $(VENV)/bin/python benchmarks/peer/requirements.lock
	@echo "Installing hftbacktest in $(PEER) ..."
	@$(BIN)/python -m venv --clear $(PEER)
	@$(PEER)/bin/python $(INSTALL) --no-deps --require-hashes -r benchmarks/peer/requirements.lock
	@touch $@

$(VENV)/.rust: $(VENV)/.run
	@$(BIN)/python -m bundles.toolchain --install
	@echo "Compiling the template once, which fetches the SDK ..."
	@rm -rf .cache/warm && mkdir -p .cache && cd .cache && ../$(BIN)/sequence init warm >/dev/null && \
	  cd warm && CARGO_TARGET_DIR=$(CURDIR)/.cache/target ../../$(BIN)/sequence build >/dev/null
	@touch $@

# People sign approvals with OpenSSH; nearly every machine that has git has it.
$(VENV)/.ssh: $(VENV)/.run
	@command -v ssh-keygen >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q openssh-client; } || \
	  { echo "ssh-keygen is missing: install OpenSSH's client tools (Debian: apt-get install openssh-client)." >&2; exit 1; }
	@touch $@
