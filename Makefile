# Everything that a developer or a new user starts; `make help` lists it.
SHELL := /bin/bash
VENV ?= .venv
PYTHON := $(VENV)/bin/python
# The lab unpacks a guest, and the tests load BPF programs.
AS_ROOT := $(shell [ $$(id -u) = 0 ] || echo sudo --preserve-env)
# What has to be compiled, or installed by pip; Python runs from the checkout as it is.
COMPILED := pyproject.toml setup.py build.py aod/tracer/ring.c $(wildcard bpf/*)
PACKED := $(wildcard aod/*.py aod/*/*.py aod/*/*/*.py aod/data/*.csv aod/data/*/*)

# Two halves of the set-up that leave each other's processor alone.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs 2

.PHONY: help setup payload lab lab-if-possible demo test test-lab test-service fuzz kernels lint format bench bench-kernel bench-overhead btf
.PHONY: wheel deb rpm image lint-packages reproducible pins clean

help: ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

setup: $(VENV)/.ready ## install what is missing and build aod into .venv

build/.debian-packages: packaging/setup packaging/install-missing
	packaging/setup
	@mkdir -p build && touch $@

$(VENV)/.ready: build/.debian-packages packaging/editable $(COMPILED)
	packaging/editable $(VENV)
	@touch $@

payload: $(VENV)/.ready ## bring aod into the form in which a guest of the lab runs it
	packaging/payload $(PYTHON) build/payload

lab: build/.debian-packages ## build the guest of the lab, as far as it is not in its cache
	$(AS_ROOT) python3 -m tests.vm.lab --suite $${LAB_SUITE:-bookworm} build

# Where no guest can run the tests say so: they are skipped, or fail with LAB_REQUIRED=1.
lab-if-possible: build/.debian-packages
	-@$(MAKE) --no-print-directory lab

demo: payload ## a real SMB share gets slow, and aod catches it (needs no SMB server)
	$(AS_ROOT) $(PYTHON) -m tests.vm.demo

test: export LAB_SUITE ?= bookworm
test: ## run the tests, of those on a real mount the ones that carry the promises
	@$(SIDE_BY_SIDE) payload lab-if-possible
	$(AS_ROOT) $(PYTHON) -m pytest -n auto -m "promise or not lab" $(PYTEST_ARGS)

test-lab: payload ## run every test on a real mount, on two kernels (long)
	$(AS_ROOT) $(PYTHON) -m pytest -m lab $(or $(PYTEST_ARGS),tests/vm)

test-service: deb packaging/setup-service ## run the packages under systemd, in containers and the lab (long; as root)
	packaging/setup-service
	$(AS_ROOT) packaging/image $(PYTHON)
	$(AS_ROOT) $(PYTHON) -m pytest tests/installed $(PYTEST_ARGS)

kernels: payload ## try aod on each kernel from 5.10 to 7.x, into build/kernels.json (long)
	$(AS_ROOT) $(PYTHON) -m tests.vm.kernels

lint: setup ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	clang-format --dry-run --Werror bpf/*.c bpf/*.h aod/tracer/ring.c tests/bpf/*.c tests/bench/*.c

format: setup ## bring the code into its form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	clang-format -i bpf/*.c bpf/*.h aod/tracer/ring.c tests/bpf/*.c tests/bench/*.c

fuzz: setup ## 100,000 mutated configs, kernel tables, manifests and more (a quarter of an hour)
	$(AS_ROOT) $(PYTHON) -m tests.fuzz $(FUZZ_ARGS)

bench: setup ## measure the ring on this machine
	$(AS_ROOT) $(PYTHON) -m tests.bench.ring

bench-kernel: payload ## measure what the probes cost, in instructions
	$(AS_ROOT) $(PYTHON) -m tests.bench.kernel

# The packages: a wheel, and from it a deb and an rpm for each Python.
TOOLS := build/tools
STAGED := config/aod.service config/config.yaml LICENSE CHANGELOG.md README.md USAGE.md \
	$(wildcard examples/*/* packaging/* packaging/*/*)

$(TOOLS)/.ready: packaging/setup-packages packaging/install-missing packaging/tools.txt
	packaging/setup-packages $(TOOLS)
	@touch $@

dist/.wheel: $(VENV)/.ready $(PACKED) $(TOOLS)/.ready packaging/wheel packaging/epoch
	packaging/wheel $(PYTHON) $(TOOLS) dist
	@touch $@

build/stage/.ready: dist/.wheel $(STAGED)
	packaging/stage $(TOOLS) dist/aod-*.whl $(VENV) build/stage
	@touch $@

wheel: dist/.wheel ## build the wheel, libbpf inside, into dist/

deb: build/stage/.ready ## build a Debian package for each Python from 3.11 to 3.13, into dist/
	packaging/package deb $(TOOLS) build/stage dist

rpm: build/stage/.ready ## build an RPM for each Python from 3.11 to 3.13, into dist/
	packaging/package rpm $(TOOLS) build/stage dist

image: setup packaging/setup-service ## build the container image localhost/aod with podman
	packaging/setup-service
	packaging/image $(PYTHON)

lint-packages: deb rpm ## check the packages with lintian, rpmlint, mandoc and systemd-analyze
	packaging/lint $(TOOLS) dist

reproducible: $(VENV)/.ready $(TOOLS)/.ready ## build wheel, debs and rpms twice, and compare the bytes
	packaging/reproducible $(VENV) $(TOOLS)

pins: $(TOOLS)/.ready ## take the newest libraries into the packages
	packaging/pins $(TOOLS)

bench-overhead: payload ## what programs pay, with a plot; SHARE=/mnt/share, else in the lab
	$(AS_ROOT) $(PYTHON) -m tests.bench.$(if $(SHARE),overhead $(SHARE) --aod $(VENV)/bin/aod,overhead_vm) $(OVERHEAD_ARGS)

KERNEL ?= bookworm
btf: setup ## types of KERNEL (a Debian suite or a folder) for the contract test
	$(AS_ROOT) $(PYTHON) -m tests.btf $(KERNEL)

clean: ## remove what was built; the lab's cache stays (python3 -m tests.vm.lab clean)
	rm -rf build dist $(VENV) *.egg-info aod/_event.py aod/tracer/_libbpf.* aod/data/smb.bpf.o
