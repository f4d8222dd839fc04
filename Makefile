# `make run` and `make test` do everything on a fresh machine; the rest is for those who work on the project.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEBIAN_PACKAGES := kamailio kamailio-sqlite-modules sip-tester baresip-core iproute2 postgresql

.PHONY: run setup test lint format bench debian-packages clean
.DEFAULT_GOAL := run

run: $(VENV)/.demo-installed ## Start the server on the sample settings with two software phones, and place one call
	@$(BIN)/python sip-testbed/demo.py

setup: $(VENV)/.installed ## Make .venv with click2call in it

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "click2call needs Python 3.11 or 3.12")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { echo "no virtual environments: apt-get install -y python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.demo-installed: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

test: $(VENV)/.test-installed debian-packages lint ## Run all checks and all tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(VENV)/.test-installed
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.test-installed
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.test-installed ## Measure speed; on a quiet machine
	@$(BIN)/python sip-testbed/bench.py

debian-packages:
	@missing=""; for package in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; \
	done; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	else \
	  echo "The tests need Debian packages. Run: sudo apt-get install -y --no-install-recommends$$missing"; exit 1; \
	fi

clean:
	rm -rf $(VENV) var
