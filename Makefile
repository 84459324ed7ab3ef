# Needs Python 3.11+, make and a package index; everything else is set up here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test test-long test-nightly lint words apps lock bench clean
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Run the main job on embedded defaults (ONCE=1: without a person, then stop; HELPDESK=zendesk)
	$(BIN)/ticket-elevate demo $(if $(ONCE),--once) $(if $(HELPDESK),--helpdesk $(HELPDESK))

test: $(READY) ## Everything that needs no system package
	$(BIN)/python -m pytest -m "not browser and not request_tracker and not kills and not stories and not long"

test-long: $(READY) ## The suites that need Chromium, Request Tracker or django-helpdesk
	$(BIN)/python -m pytest -m "browser or request_tracker or kills or stories or long"

test-nightly: $(READY) ## 2,000 random stories of approvals, sign-ins, ends and kills
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest tests/workers/test_every_order.py

lint: $(READY) ## Style, types and the doors between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

CATALOGUES := webhooks/translations
words: $(READY) ## Bring the catalogues of the pages up to date; then translate what is new in webhooks/translations
	$(BIN)/pybabel -q extract -F pyproject.toml -k N_ -k lazy_gettext --no-location --omit-header -o $(CATALOGUES)/messages.pot .
	$(BIN)/pybabel -q update -i $(CATALOGUES)/messages.pot -d $(CATALOGUES) --no-fuzzy-matching --ignore-obsolete
	$(BIN)/pybabel -q compile -d $(CATALOGUES)

apps: $(READY) ## Pack the apps for the helpdesks into dist (URL=https://elevate.example.org)
	mkdir -p dist
	for kind in zendesk freshservice servicenow; do $(BIN)/ticket-elevate app $$kind --url $(or $(URL),https://elevate.example.org) --to dist; done

lock: $(READY) ## Pin again every version that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --no-emit-index-url --no-header --output-file requirements.lock --upgrade pyproject.toml

bench: $(READY) ## Print the figures of benchmarks/
	$(BIN)/python -m benchmarks

clean: ## Remove what was set up here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
