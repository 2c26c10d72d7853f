# What a person types here. Needs Python 3.11 or later with venv and pip; no Docker, no model hub.

PYTHON ?= python3
# PyTorch's CPU builds, taken on machines without an NVIDIA GPU when this index answers; empty = pip's default index.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint train clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Tag comments and watch it happen; your own with INPUT=comments.jsonl OUTPUT=tagged.jsonl
	@$(BIN)/moderate demo $(if $(INPUT),--input '$(INPUT)') $(if $(OUTPUT),--output '$(OUTPUT)')

test: $(INSTALLED) ## Run the unit and integration tests
	@$(BIN)/python -m pytest

train: $(INSTALLED) ## Train a model on DATA=folder (train.jsonl.gz, dev.jsonl.gz) into runs/model, and measure it
	@test -n '$(DATA)' || { echo "Name a folder with train.jsonl.gz and dev.jsonl.gz: make train DATA=path"; exit 1; }
	@$(BIN)/moderate train fit '$(DATA)/train.jsonl.gz' runs/model --dev '$(DATA)/dev.jsonl.gz'
	@$(BIN)/moderate train evaluate runs/model --data '$(DATA)/dev.jsonl.gz'

lint: $(INSTALLED) ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

install: $(INSTALLED) ## Create .venv with the application and its tools (the others do it when needed)

clean: ## Remove .venv and every cache of the tools
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamp is written last, so an install that fails is tried again; the same pyproject.toml is installed once.
$(INSTALLED): pyproject.toml deploy/torch_index.py
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or later, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1): name a newer one, as in make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) cannot create virtual environments: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@echo "Installing into .venv. The first time takes some minutes: torch is large."
	@$(PYTHON) -m venv .venv
	@option=$$($(BIN)/python deploy/torch_index.py '$(TORCH_INDEX)') && $(BIN)/pip install --disable-pip-version-check $$option --editable '.[dev]'
	@touch $@
	@echo "Installed into .venv."
