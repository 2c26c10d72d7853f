# What a person types here. Needs Python 3.11 or later with venv and pip; no Docker, no model hub.

PYTHON ?= python3
# PyTorch's CPU builds, taken on machines without an NVIDIA GPU when this index answers; empty = pip's default index.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint locks dashboard chaos bench bench-peers bench-delivery train bundled-model clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Tag comments and watch it happen; your own with INPUT=comments.jsonl OUTPUT=tagged.jsonl
	@$(BIN)/moderate demo $(if $(INPUT),--input '$(INPUT)') $(if $(OUTPUT),--output '$(OUTPUT)')

test: $(INSTALLED) ## Run the unit and integration tests
	@$(BIN)/python -m pytest -m 'not slow'

test-slow: $(INSTALLED) ## Run those that take minutes: security, replay, reprocess, lag, metrics and traces on a real Kafka, short forms of make chaos
	@$(BIN)/python -m pytest -m slow tests/integration tests/chaos

locks: ## Renew the images' lock files (needs uv): after a change of dependencies, or LOCK=--upgrade
	@deploy/locks/renew.sh $(LOCK)

dashboard: $(INSTALLED) ## Write the Grafana dashboard anew after a change in deploy/grafana/*.py
	@$(BIN)/python deploy/grafana/make_dashboard.py >deploy/grafana/dashboards/moderation.json

# Needs Apache Kafka: TEST_KAFKA_HOME is a folder with a `kafka` script that starts brokers (see tests/brokers.py).
chaos: $(INSTALLED) ## Kill, stop, freeze and starve everything under a steady flow and under load; an hour and a half (CHAOS="kill --short": one row)
	@$(BIN)/python -m tests.chaos $(CHAOS)

bench-delivery: $(INSTALLED) ## Measure what exactly-once costs against at-least-once; needs Apache Kafka too
	@$(BIN)/python -m tests.benchmarks.delivery

# On Apache Kafka where it is found, as above, else on the embedded broker. BENCH=engine: one section.
bench: $(INSTALLED) ## Measure speed, latency and memory against the limits of this machine; ten minutes
	@$(BIN)/python -m tests.benchmarks --quick $(BENCH)

bench-peers: $(INSTALLED) ## The same, longer, and against other libraries too, each in an environment of its own
	@$(BIN)/python -m tests.benchmarks --peers $(BENCH)

# Every step is left out when its result is there, so the same command goes on after an interruption.
RUN ?= runs/$(firstword $(subst ., ,$(notdir $(DATA))))
train: $(INSTALLED) ## Train, calibrate, measure and package a model: DATA=comments.csv, into runs/comments
	@test -f '$(DATA)' || { echo "Name a file of labelled comments (text, sentiment and/or toxicity): make train DATA=path"; exit 1; }
	@test -d '$(RUN)/data' || $(BIN)/moderate train prepare '$(DATA)' --output '$(RUN)/data' $(PREPARE)
	@grep -q "$$(sha256sum <'$(DATA)' | cut -c 1-64)" '$(RUN)/data/report.json' || { echo "$(RUN) was made from another file: remove it, or name another folder with RUN=path"; exit 1; }
	@test -d '$(RUN)/trained' || $(BIN)/moderate train fit '$(RUN)/data' --output '$(RUN)/trained' --class-weights \
	    $$(ls -d '$(RUN)'/trained.work/checkpoint-* >/dev/null 2>&1 && echo --resume || rm -rf '$(RUN)/trained.work') $(FIT)
	@test -f '$(RUN)/trained/calibration.json' || $(BIN)/moderate train calibrate '$(RUN)/trained' --data '$(RUN)/data/dev.jsonl.gz' \
	    || echo 'Going on without calibration.'
	@test -f '$(RUN)/report/report.html' || $(BIN)/moderate train evaluate '$(RUN)/trained' --data '$(RUN)/data/test.jsonl.gz' --report '$(RUN)/report'
	@test -d '$(RUN)/model' || $(BIN)/moderate train package '$(RUN)/trained' --output '$(RUN)/model' --metrics '$(RUN)/report/report.json'
	@echo "The model is $(RUN)/model, its figures are in $(RUN)/report/report.html. Run it with: MODEL=$(RUN)/model moderate run"

# How the bundled adapter is made; some two hours on 2 cores. Its card says what each step is for and what else was tried.
BUNDLED := runs/bundled
BUNDLED_FIT = $(BIN)/moderate train fit $(BUNDLED)/data --class-weights --assume-clean sst2-train \
    --assume-clean customer-reviews --counterexamples --keep last
bundled-model: $(INSTALLED) ## Train the bundled model anew: DATA=folder with train.jsonl.gz and dev.jsonl.gz
	@test -d '$(DATA)' || { echo "Name the folder of the labelled comments: make bundled-model DATA=path"; exit 1; }
	$(BIN)/moderate train prepare '$(DATA)/train.jsonl.gz' --dev '$(DATA)/dev.jsonl.gz' --test-share 0 --output $(BUNDLED)/data
	$(BUNDLED_FIT) --output $(BUNDLED)/first --epochs 2 --weight sst2-train=2 --weight customer-reviews=3 \
	    --weight olid=1.5 --weight davidson=0.7
	$(BUNDLED_FIT) --output $(BUNDLED)/second --continue-from $(BUNDLED)/first --teacher $(BUNDLED)/first --seed 43 \
	    --max-steps 5000 --learning-rate 3e-4 --weight sst2-train=2 --weight customer-reviews=3 --weight olid=2
	$(BIN)/moderate train average $(BUNDLED)/first $(BUNDLED)/second --output $(BUNDLED)/both
	$(BUNDLED_FIT) --output $(BUNDLED)/third --continue-from $(BUNDLED)/both --vary 0.3 --seed 44 --epochs 1 \
	    --learning-rate 2e-4 --weight semeval2017=0.6 --weight customer-reviews=2 --weight davidson=0.5
	$(BIN)/moderate train average $(BUNDLED)/first $(BUNDLED)/second $(BUNDLED)/third --output $(BUNDLED)/model
	$(BIN)/moderate train calibrate $(BUNDLED)/model --data $(BUNDLED)/data/dev.jsonl.gz
	$(BIN)/moderate train evaluate $(BUNDLED)/model --data $(BUNDLED)/data/dev.jsonl.gz --report $(BUNDLED)/report

lint: $(INSTALLED) ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

install: $(INSTALLED) ## Create .venv with the application and its tools (the others do it when needed)

clean: ## Remove .venv, the peers' environments and every cache of the tools
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/benchmarks/peers/.environments

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
