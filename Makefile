# All tasks of the project. They need only Python and make.
#
#   make demo               the whole chain on drawn parts              (DATA=folder for your own)
#   make test               lint, types, import rules, tests: what CI runs
#   make check              the tests alone: all with their coverage, or some  (PYTEST=tests/unit)
#   make lock               the versions and hashes of all wheels for a device, in locks  (PYTHON=python3.10)
#   make wheelhouse         the locked wheels for a device without internet              (MACHINE=x86_64)
#   make triton-server      Triton's server for its tests, in build     (55 MB; Linux x86-64)
#   make plc-docs           the tables and the diagram of docs/guides/plc.md, from the code
#   make notebook           the output in docs/guides/notebook.ipynb
#   make docs               the documentation as a site, in build/docs
#   make clean              remove what all targets made
#
# These write the pages of docs/measured:
#   make study              accuracy.md, on real data sets              (SHARED=folder, SEEDS="1 2 3")
#   make preset-study       presets.md: the CPU presets, on the same     (SHARED=folder, SEEDS="1 2 3")
#   make precision          precision.md, on the runs of the study      (RUNS="run ...")
#   make calibration-study  calibration.md, on real data sets           (SHARED=folder)
#   make evidence-study     evidence.md: drawn defects beside real ones (SHARED=folder)
#   make input-size-study input-size.md: larger inputs, and tiles     (SHARED=folder)
#   make camera-study       cameras.md: triggers, faults, memory        (needs pypylon and Aravis)
#   make tensorrt-study     tensorrt.md: layers of NVIDIA's compiler     (RUNS="run ..."; no GPU)
#   make peer-speed         a section of performance.md, beside anomalib  (a venv of 6 GB for it)
#   make reliability        reliability.md: faults under systemd        (needs root and systemd-nspawn)
#   make install-study      install.md: install.sh on a bare Debian     (needs root and systemd-nspawn)
#   make rollout-study      rollout.md: bundles to two machines, by Ansible  (the same, and ssh)
#   make fleet              scale.md: many lines on a Triton server     (needs root and nftables)
#   make plc-study          plc.md: 10 000 parts by each PLC protocol, with kills of either side
#   make gpu-bench          a section of performance.md, on a GPU       (BUNDLE=folder, IMAGES=folder)
#   make bench              prints the other figures of performance.md  (BUNDLE=folder: engines too)

PYTHON ?= python3
VENV ?= .venv
SHARED ?= ../shared
OUT ?= demo
SEEDS ?= 1 2 3
MACHINE ?= aarch64
EXTRAS ?= onnxruntime calibration health modbus s7 mqtt opcua webhook gpio signing panel
RUNS ?= $(wildcard build/study/*-1/run)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

MACHINES := aarch64 x86_64
VERSION = $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

.PHONY: demo lock wheelhouse test lint check study preset-study evidence-study input-size-study precision \
  tensorrt-study peer-speed reliability install-study rollout-study camera-study plc-study plc-docs notebook \
  calibration-study triton-server fleet bench gpu-bench docs clean

$(STAMP): pyproject.toml
	@echo "installing Linewarden, PyTorch and the tools of development into $(VENV) takes minutes"
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
	LINEWARDEN_SHARED="$(SHARED)" OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile \
	  --durations=10 $(or $(PYTEST),--cov --cov-report=html:build/coverage)

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

study: $(STAMP)
	LINEWARDEN_WEIGHTS="$(SHARED)/weights" $(BIN)/linewarden study accuracy \
	  --config $(addprefix configs/train/,subspace.yaml memory.yaml supersimplenet-cpu.yaml \
	    simplenet-cpu.yaml uniad-cpu.yaml ganomaly-cpu.yaml differnet-cpu.yaml \
	    differnet-spatial-cpu.yaml) \
	  --remark $(PRESETS_REMARK) \
	  --set 'data.frame_height=[1,4000]' --set 'data.frame_width=[1,4000]' \
	  --seeds $(SEEDS) --work build/study --out docs/measured/accuracy.md \
	  --data $(addprefix $(SHARED)/data/,hazelnut_toy cookies ball_screw kolektorsdd)

PRESETS_REMARK := '`subspace` and `memory` (nearest neighbour) take no optimisation steps: they are the \
  baselines on the same features. docs/measured/presets.md says how the settings of the other models were \
  chosen.'

preset-study: $(STAMP)
	LINEWARDEN_WEIGHTS="$(SHARED)/weights" OMP_NUM_THREADS=1 $(BIN)/python -m studies.presets \
	  --seeds $(SEEDS) --work build/presets --out docs/measured/presets.md \
	  $(addprefix $(SHARED)/data/,hazelnut_toy cookies ball_screw kolektorsdd)

precision: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.precision \
	  --work build/precision --out docs/measured/precision.md $(RUNS)

tensorrt-study: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.tensorrt --out docs/measured/tensorrt.md $(RUNS)

fleet: $(STAMP) build/triton
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.fleet --out docs/measured/scale.md

# The peer wants other versions than Linewarden.
PEER := build/peer-venv
$(PEER)/.installed: studies/peer/requirements.txt
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet -r $<
	touch $@

peer-speed: $(STAMP) $(PEER)/.installed
	$(BIN)/python -m studies.peer_speed --peer $(PEER)/bin/python --work build/peer-speed \
	  --out docs/measured/performance.md

reliability: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.reliability \
	  --out docs/measured/reliability.md

install-study: $(STAMP)
	$(BIN)/python -m studies.install --work build/install-study --out docs/measured/install.md

# Ansible has many packages of its own.
ANSIBLE := build/ansible-venv
$(ANSIBLE)/bin/ansible-playbook:
	$(PYTHON) -m venv $(ANSIBLE)
	$(ANSIBLE)/bin/python -m pip install --quiet ansible-core

rollout-study: $(STAMP) $(ANSIBLE)/bin/ansible-playbook
	$(BIN)/python -m studies.rollout --ansible $(ANSIBLE)/bin/ansible-playbook \
	  --work build/rollout-study --out docs/measured/rollout.md

plc-study: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.controllers --out docs/measured/plc.md

# The tables and the diagram of docs/guides/plc.md, from the code.
plc-docs: $(STAMP)
	$(BIN)/python -m studies.plc_guide

notebook: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.notebook

camera-study: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.cameras \
	  --work build/camera-study --out docs/measured/cameras.md

# Models that train on few images and leave many to calibrate and to measure with.
build/study-calibration/%/bundle/manifest.json: | $(STAMP)
	LINEWARDEN_WEIGHTS="$(SHARED)/weights" $(BIN)/linewarden train $(SHARED)/data/$* \
	  --config configs/train/supersimplenet-cpu.yaml --set data.hold_out=0.8 \
	  --set 'data.frame_height=[1,4000]' --set 'data.frame_width=[1,4000]' \
	  --out build/study-calibration/$*/run
	$(BIN)/linewarden export build/study-calibration/$*/run build/study-calibration/$*/bundle

STUDIED := ball_screw kolektorsdd
calibration-study: $(STUDIED:%=build/study-calibration/%/bundle/manifest.json)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.calibration --out docs/measured/calibration.md \
	  $(foreach name,$(STUDIED),build/study-calibration/$(name)/bundle=$(SHARED)/data/$(name))

evidence-study: $(STAMP)
	LINEWARDEN_WEIGHTS="$(SHARED)/weights" OMP_NUM_THREADS=1 $(BIN)/python -m studies.evidence \
	  --work build/evidence --out docs/measured/evidence.md \
	  --data $(addprefix $(SHARED)/data/,cookies hazelnut_toy kolektorsdd ball_screw)

input-size-study: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.input_size \
	  --work build/input-size --out docs/measured/input-size.md \
	  --data $(addprefix $(SHARED)/data/,cookies hazelnut_toy kolektorsdd ball_screw)

# pip decides conditions on the Python version for the one that it runs with: one call of each target
# for each version on the devices, with PYTHON and a VENV of its own.
lock: $(MACHINES:%=lock-%)

lock-%: $(STAMP)
	rm -rf build/lock/$*
	$(call gather,build/lock/$*,$*) --write-lock locks/py$(VERSION)-$*.txt

wheelhouse: $(STAMP)
	rm -rf build/wheelhouse/py$(VERSION)-$(MACHINE)
	$(call gather,build/wheelhouse/py$(VERSION)-$(MACHINE),$(MACHINE)) --lock locks/py$(VERSION)-$(MACHINE).txt

gather = $(BIN)/linewarden service wheelhouse $(1) --python $(VERSION) --extras $(EXTRAS) \
  --platform $(foreach tag,manylinux_2_34 manylinux_2_28 manylinux_2_17 manylinux2014,$(tag)_$(2))

# Only unpacked: as an installed package it would ask for an old NumPy.
triton-server: build/triton

build/triton: | $(STAMP)
	$(BIN)/python -m pip download --quiet --no-deps --dest build/triton nvidia-pytriton==0.7.0
	$(BIN)/python -m zipfile -e build/triton/nvidia_pytriton-*.whl build/triton
	rm build/triton/nvidia_pytriton-*.whl

bench: $(STAMP)
	$(BIN)/python tests/bench/bench_inspector.py
	$(BIN)/python tests/bench/bench_pipeline.py overhead
	$(BIN)/python tests/bench/bench_training.py
	$(BIN)/python tests/bench/bench_grabber.py
	PYTHONPATH=. $(BIN)/python tests/bench/bench_panel.py
	$(if $(BUNDLE),$(BIN)/python tests/bench/bench_engines.py $(BUNDLE))
	$(if $(BUNDLE),$(BIN)/python tests/bench/bench_pipeline.py idle $(BUNDLE))
	$(if $(BUNDLE),$(BIN)/python tests/bench/bench_start.py $(BUNDLE))
	$(if $(BUNDLE),$(BIN)/python tests/bench/bench_views.py $(BUNDLE))

gpu-bench: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/bench/bench_gpu.py $(BUNDLE) --out docs/measured/performance.md \
	  $(if $(IMAGES),--images $(IMAGES))

clean:
	rm -rf $(VENV) demo build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage
