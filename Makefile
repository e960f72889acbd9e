# Every task of the project. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp
READY := $(BIN)/python -c 'import urllib.request as web; web.urlopen("http://127.0.0.1:8081/health/ready")'
SOURCES := service streams tests bench docs

.DEFAULT_GOAL := help
.PHONY: help serve test test-fast nemesis schemathesis lint format bench docs swagger-ui clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(STAMP) ## Run a node with demo data on this machine; Ctrl-C ends it
	@data=$${UPNEXT_DATA:-data}; $(BIN)/upnext serve & node=$$!; \
	asked=; trap 'asked=yes' INT; trap 'kill $$node' TERM; \
	until grep -qsx "$$node" "$$data/upnext.lock" && $(READY) 2>/dev/null; do \
	    kill -0 $$node 2>/dev/null || { wait $$node; exit; }; sleep 0.2; \
	done; \
	$(BIN)/upnext demo --data "$$data" || status=$$?; \
	[ -n "$$asked" ] || kill $$node 2>/dev/null; \
	wait $$node && exit $${status:-0}

test: $(STAMP) ## Run every test, on the embedded log and on real Kafka (Java 17, Maven)
	bash tests/support/fetch_kafka.sh
	$(BIN)/pytest

test-fast: $(STAMP) ## Run the tests that need no broker, no processes and no long loops
	$(BIN)/pytest -m "not kafka and not long" tests/unit

nemesis: $(STAMP) ## Try to break a deployment of three nodes: SEED=… MINUTES=… BUG=… (Java 17, Maven)
	bash tests/support/fetch_kafka.sh
	$(if $(BUG),UPNEXT_TEST_BUG=$(BUG)) $(BIN)/python -m tests.nemesis $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

schemathesis: $(STAMP) ## Make up requests from the OpenAPI document: SEED=… SECONDS=… (Java 17, Maven)
	bash tests/support/fetch_kafka.sh
	$(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

lint: $(STAMP) ## Check style, types and who imports whom
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(STAMP) ## Measure, beside a bare loop, on this machine (Java 17, Maven)
	bash tests/support/fetch_kafka.sh
	$(BIN)/python -m bench

docs: $(STAMP) ## Write the pages that are generated from the code
	$(BIN)/python -m docs.generate

swagger-ui: $(STAMP) ## Replace the renderer of /docs by another version: VERSION=… (npm)
	$(BIN)/python -m docs.swagger_ui $(VERSION)

clean: ## Remove what the tasks made, but no data
	rm -rf $(VENV) .kafka .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# An interrupted installation leaves no stamp, so the next task begins it anew.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	    echo "There is no $(PYTHON): install Python 3.11 or later, or say where it is with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is older than Python 3.11: say where a newer one is with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make environments: install python3-venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
