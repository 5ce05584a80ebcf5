# Everything starts here; Python and make are all that is needed.
#
#   make demo            the whole chain on drawn parts          (DATA=folder for your own)
#   make test            lint, types, import rules, tests: what CI runs
#   make accuracy        docs/accuracy.md on real data sets      (SHARED=folder)
#   make bench           speed figures
#   make clean           remove what the targets above made

PYTHON ?= python3
VENV ?= .venv
SHARED ?= ../shared
OUT ?= demo
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint check accuracy bench clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/linewarden demo --out $(OUT) $(if $(DATA),--data "$(DATA)") $(if $(WEIGHTS),--weights "$(WEIGHTS)")

test: lint check

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(STAMP)
	LINEWARDEN_SHARED="$(SHARED)" $(BIN)/pytest $(PYTEST)

accuracy: $(STAMP)
	LINEWARDEN_WEIGHTS="$(SHARED)/weights" $(BIN)/linewarden study accuracy \
	  --config configs/train/supersimplenet-cpu.yaml \
	  --set 'data.frame_height=[1,4000]' --set 'data.frame_width=[1,4000]' \
	  --seeds 1 2 3 --work build/accuracy --out docs/accuracy.md \
	  $(SHARED)/data/hazelnut_toy $(SHARED)/data/cookies \
	  $(SHARED)/data/ball_screw $(SHARED)/data/kolektorsdd

bench: $(STAMP)
	$(BIN)/python tests/bench/bench_inspector.py
	$(BIN)/python tests/bench/bench_training.py

clean:
	rm -rf $(VENV) demo build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
