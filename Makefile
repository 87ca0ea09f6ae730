# `make help` lists the targets. Everything lives in .venv; nothing outside the checkout is changed.

VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check
WORKERS ?= 2
INPUTS := pyproject.toml constraints.txt sdk/pyproject.toml hatch_build.py

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench fuzz mlflow finetune format clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

install: $(VENV)/installed-all ## Create or refresh .venv with everything
demo: $(VENV)/installed-demo ## Start everything on seeded data and live traffic; Ctrl-C stops it
	@$(BIN)/custodes demo $(ARGS)

test: $(VENV)/installed-all ## Run the whole test suite (SQLite, PostgreSQL, browser)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/installed-all ## Run ruff, mypy, import-linter and the architecture tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

bench: $(VENV)/installed-all ## Run every benchmark; tables on stdout, JSON in bench/results/
	@$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/installed-all ## Send a million mutated requests through the intake (ARGS="--cases N --seed S")
	@$(BIN)/python -m tests.fuzz.run --cases 1000000 $(ARGS)

mlflow: $(VENV)/installed-all $(VENV)-mlflow/installed ## Test rollbacks against a real MLflow, installed beside .venv
	@TEST_MLFLOW_PROGRAM=$(abspath $(VENV)-mlflow/bin/mlflow) $(BIN)/python -m pytest -m mlflow $(ARGS)

finetune: $(VENV)/installed-all $(VENV)-finetune/installed ## Test fine-tuning with TRL, peft and MLflow, installed beside .venv
	@TEST_FINETUNE_PYTHON=$(abspath $(VENV)-finetune/bin/python) TEST_MLFLOW_PROGRAM=$(abspath $(VENV)-finetune/bin/mlflow) $(BIN)/python -m pytest -m finetune $(ARGS)

format: $(VENV)/installed-all ## Sort imports and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches and build output; keeps .venv and data
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The interpreter is looked for by name, because the system's python3 may be older than the code.
$(BIN)/python:
	@for name in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "creating $(VENV) with $$($$name --version)"; exec $$name -m venv $(VENV); fi; done; \
	echo "Custodes needs Python 3.11 or newer with venv; found only: $$(python3 --version 2>&1). Install one, or run: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1

# Stamps: an install runs again only when what it installs from has changed.
$(VENV)/installed-all: $(BIN)/python $(INPUTS)
	@echo "installing everything into $(VENV) (a minute or two)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ./sdk -e '.[all,dev]'
	@touch $(VENV)/installed-demo $@

$(VENV)/installed-demo: $(BIN)/python $(INPUTS)
	@echo "installing Custodes into $(VENV) (a minute or two)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ./sdk -e '.[demo]'
	@touch $@

$(VENV)-mlflow/installed: $(BIN)/python tests/requirements-mlflow.txt
	@echo "installing MLflow into $(VENV)-mlflow (a minute or two)"
	@$(BIN)/python -m venv $(VENV)-mlflow
	@$(VENV)-mlflow/bin/python -m pip install $(PIP_FLAGS) -r tests/requirements-mlflow.txt
	@touch $@

$(VENV)-finetune/installed: $(BIN)/python examples/finetune/requirements.txt
	@echo "installing TRL, peft and MLflow into $(VENV)-finetune (some minutes)"
	@$(BIN)/python -m venv $(VENV)-finetune
	@$(VENV)-finetune/bin/python -m pip install $(PIP_FLAGS) -r examples/finetune/requirements.txt
	@touch $@
