# make reproduce   install, and run LeNet-5 from real digits to a served model
# make test        install, and run the tests that take minutes
# make test-all    all tests
# make test-torch  torch and torchvision themselves beside the networks here
# make mutants     plant 300 small faults in the code and count those that the tests catch; hours
# make lint        style and types of the code
# make data        bring the real Fashion-MNIST, which Debian ships, to TensorFlow Datasets
# make report      render the tables and figures of the results, the zoo and docs/
# make docs        build the site of docs/ into build/docs
# make notebooks   run the notebooks and store what they show
# make update      newest packages, tested in a venv of their own, become constraints.txt
# make clean       remove the installation and what was built; runs/ stays

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
EXTRAS := train,export,notebooks,docs,dev
# Without what they depend on: torchvision names one build of torch, and any will do.
TORCH_ZOOS := torchvision timm huggingface_hub lpips
BIN := $(VENV)/bin
# Two processes; the tests of a file share what they build.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# The versions that the tests passed with. setup.py has the lower bounds.
PINS := -c constraints.txt
DEBIAN_DATA := build/fashion-mnist

.PHONY: reproduce test test-all test-torch mutants lint data report docs notebooks update clean

reproduce: $(VENV)/installed
	$(BIN)/python -m reproduce.lenet5_mnist --recipe=distortions --dataset=digits \
	  --run_dir=runs/lenet5_digits --export

test: $(VENV)/installed
	$(PYTEST) -m "not slow and not torch"

test-all: $(VENV)/installed
	$(PYTEST) -m "not torch"

test-torch: $(VENV)/installed
	$(BIN)/python $(PIP_INSTALL) $(PINS) -e ".[torch]"
	$(BIN)/python $(PIP_INSTALL) --no-deps $(TORCH_ZOOS)
	$(PYTEST) -m torch

mutants: $(VENV)/installed
	$(BIN)/python -m tests.mutants --samples=300 --seed=0

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

report: $(VENV)/installed
	$(BIN)/python -m reproduce.report --zoo
	$(BIN)/python -m reproduce.scaling

# A warning is an error; internal links are checked.
docs: $(VENV)/installed
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

notebooks: $(VENV)/installed
	$(BIN)/python -m notebooks.execute

# Without root, on Debian and its kin.
data: $(DEBIAN_DATA)/ready

$(DEBIAN_DATA)/ready: | $(VENV)/installed
	@command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "$$NO_DEBIAN"; exit 2; }
	mkdir -p $(DEBIAN_DATA)
	cd $(DEBIAN_DATA) && apt-get download dataset-fashion-mnist || { echo "$$NO_PACKAGE"; exit 2; }
	cd $(DEBIAN_DATA) && dpkg -x dataset-fashion-mnist_*.deb .
	$(BIN)/keras-classics prepare --dataset=fashion_mnist \
	  --from=$(DEBIAN_DATA)/usr/share/datasets/fashion-mnist
	touch $@

define NO_DEBIAN
make data takes Fashion-MNIST from a Debian package, and this is not Debian. With a network, TensorFlow
Datasets downloads it when it is first used. Without, give the folder of its four IDX files to:
keras-classics prepare --dataset=fashion_mnist --from=DIR
endef
define NO_PACKAGE
The package dataset-fashion-mnist could not be had. Where the package lists are old or empty, run
'apt-get update' as root, then 'make data' again.
endef
export NO_DEBIAN NO_PACKAGE

# Written last, so that an interrupted installation is done again.
$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) $(PINS) -e ".[$(EXTRAS)]"
	touch $@

# Moves the pins when the tests pass with the newest packages; else constraints.txt stays.
update:
	rm -rf build/newest
	$(MAKE) test VENV=build/newest PINS=
	{ grep '^#' constraints.txt; build/newest/bin/python -m pip freeze --exclude-editable; } \
	  > build/constraints.txt
	mv build/constraints.txt constraints.txt
	git --no-pager diff --stat constraints.txt

clean:
	rm -rf $(VENV) build docs/notebooks dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
