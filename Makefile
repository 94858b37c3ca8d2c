# make demo    the whole job, headless, on the bundled samples
# make test    all tests (under Xvfb when there is no display); ARGS="-n0 tests/core" runs some
# make lint    ruff and mypy
# make system-deps    the Debian packages that a machine without a display needs

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

# What Qt and napari's canvas need where nobody ever looks at a screen.
DEBIAN_PACKAGES := xvfb xauth libgl1-mesa-dri libgl1 libegl1 libopengl0 libxkbcommon-x11-0 \
	libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xinerama0 libxcb-image0 \
	libxcb-render-util0 libdbus-1-3 libfontconfig1 libglib2.0-0
# Newer releases rename some packages to NAMEt64.
MISSING = $(shell command -v dpkg-query >/dev/null && for p in $(DEBIAN_PACKAGES); do \
	dpkg-query -W -f '$${Status}\n' $$p $${p}t64 2>/dev/null | grep -q ' installed$$' || echo $$p; done)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# A display of our own only where there is none and Xvfb can give one.
XVFB = $(shell [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || ! command -v xvfb-run >/dev/null || \
	echo 'xvfb-run -a -s "-screen 0 1600x1000x24"')
# Tests run in two processes where each can have a display of its own; ARGS="-n0" is one process.
WORKERS ?= $(shell command -v Xvfb >/dev/null && echo 2 || echo 0)

.PHONY: help demo test lint format system-deps say-missing install wheel clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make /make /p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is too old: 3.11 or newer is needed (make PYTHON=python3.12 ...)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	@touch $@

demo: $(STAMP)
	$(BIN)/blockseg demo --out demo_output $(ARGS)

test: $(STAMP) say-missing
	$(XVFB) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

say-missing:
	@missing="$(strip $(MISSING))"; [ -z "$$missing" ] || \
		echo "Missing system packages: $$missing (make system-deps installs them; GUI tests may be skipped or fail)"

system-deps:
	@missing="$(strip $(MISSING))"; if [ -n "$$missing" ]; then \
		$(SUDO) apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; fi

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist demo_output *.egg-info .mypy_cache .ruff_cache .pytest_cache
