# Two commands matter: `make demo` runs the whole flow, `make test` passes the tests.
# Both set up .venv first. PYTHON picks the interpreter (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BIGQUERY := .venv-bigquery
AXE := tests/pipelines/pages/axe
# Each process gets one stretch of the tests, which share what is made once, then what others have left.
PARALLEL := -n 2 --dist worksteal
# Without an NVIDIA GPU the pinned release has a CPU build; give its wheel or index through TORCH_PIP.
TORCH ?= $(if $(shell command -v nvidia-smi 2>/dev/null),torch,torch==2.13.0)
TORCH_PIP ?=

.PHONY: install $(BIGQUERY) demo test test-all lint bench docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stemlode needs Python 3.11 or later; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TORCH_PIP) "$(TORCH)"
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

# A BigQuery server that some tests talk to, apart from our own environment.
$(BIGQUERY): $(BIGQUERY)/.installed

$(BIGQUERY)/.installed: tests/sql/bigquery.txt
	$(PYTHON) -m venv $(BIGQUERY)
	$(BIGQUERY)/bin/pip install --quiet --requirement $<
	HOME=$(CURDIR)/$(BIGQUERY) $(BIGQUERY)/bin/python -c \
		'import duckdb_extensions; duckdb_extensions.import_extension("spatial")'
	@touch $@

# What finds in our pages what keeps people out, in a folder of its own; its tests are skipped without npm.
$(AXE)/node_modules/.installed: $(AXE)/package-lock.json
	@if command -v npm > /dev/null; then \
		npm ci --prefix $(AXE) --no-audit --no-fund --silent && touch $@; \
	else echo "no npm: tests with axe-core will be skipped"; fi

demo: install
	$(BIN)/stemlode demo --output demo

# Every Beam verb on workers that share nothing with this environment; CLUSTER takes further options.
cluster-demo: install
	$(BIN)/python -m cluster.demo $(CLUSTER)

# What workers install, their templates' parameters and their image (docs/dataflow.md).
worker-lock: install
	PATH=$(CURDIR)/$(BIN):$$PATH worker/lock

worker-packages: install
	rm -rf build/worker && $(PYTHON) -m venv --without-pip build/worker
	$(BIN)/pip --python build/worker/bin/python install --quiet --no-deps --require-hashes \
		--requirement worker/requirements-build.txt
	$(BIN)/pip --python build/worker/bin/python install --quiet --no-deps --no-build-isolation \
		--require-hashes --requirement worker/requirements.txt
	build/worker/bin/python worker/packages.py worker/requirements.txt > docs/packages.md

worker-templates: install
	$(BIN)/python -m pipelines.templates worker/templates

worker-image: install
	rm -rf dist && $(BIN)/python -m build --wheel
	docker build --file worker/Dockerfile --tag $(IMAGE) $(IMAGE_ARGS) .

# Known holes in what travels; needs the network, and fails where a package could not be looked up.
audit: install
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement worker/requirements.txt
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement worker/requirements-nets.txt

test: install lint
	$(BIN)/pytest -m "not slow" $(PARALLEL)

test-all: test $(BIGQUERY)/.installed $(AXE)/node_modules/.installed
	$(BIN)/pytest -m slow $(PARALLEL)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

bench: install
	for script in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

docs: install # into site/; no network is needed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:
	rm -rf $(VENV) $(BIGQUERY) $(AXE)/node_modules demo site build dist *.egg-info
