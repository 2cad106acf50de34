# `make` alone prints what there is. Environments are made when first needed and kept until what they depend on changes.
ALGO    = ppo
ENV     = CartPole-v1
BACKEND = jax
SEED    = 0
STEPS   =
ARGS    =
WORKERS = 2

ENGINES = jax torch tensorflow mindspore
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)

VENV  = .venv
PEERS = .venv-peers
RUN   = $(VENV)/bin/python -m
PIP   = -m pip install -qq --disable-pip-version-check
SOURCES = setup.cfg constraints.txt pyproject.toml $(VENV)/pyvenv.cfg

empty :=
comma := ,
space := $(empty) $(empty)
ALL_EXTRAS = $(subst $(space),$(comma),$(strip $(ENGINES) atari envpool box2d mujoco dev))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test test-learning lint format typecheck docs bench clean

ifneq (,$(filter train,$(MAKECMDGOALS)))
ifeq (,$(filter $(ENGINES),$(BACKEND)))
$(error BACKEND=$(BACKEND) is not an engine; choose one of: $(ENGINES))
endif
endif

help: ## print this
	@echo "make TARGET [VARIABLE=value ...]"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}'

train: $(VENV)/.installed-$(BACKEND) ## train one agent: ALGO=ppo ENV=CartPole-v1 BACKEND=jax SEED=0 [STEPS=n] [ARGS="..."]
	$(VENV)/bin/rlzoo train --algo '$(ALGO)' --env '$(ENV)' --backend $(BACKEND) --seed $(SEED) $(if $(STEPS),--steps $(STEPS)) $(ARGS)

test: $(VENV)/.installed-test ## lint, check types, and run the tests on all four engines [ARGS="..." for pytest]
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) pytest -n $(WORKERS) -m "not learning" $(ARGS)

test-learning: $(VENV)/.installed-test ## run the long learning gates
	$(RUN) pytest -n $(WORKERS) -m learning $(ARGS)

lint: $(VENV)/.installed-dev ## check the code with ruff
	$(RUN) ruff check .

format: $(VENV)/.installed-dev ## sort imports, mend what ruff can mend, and lay the code out
	$(RUN) ruff check --fix-only --quiet .
	$(RUN) ruff format .

typecheck: $(VENV)/.installed-dev ## check types with mypy
	$(RUN) mypy

docs: $(VENV)/.installed-dev ## write docs/algorithms/, a page an algorithm and the table of what combines
	$(VENV)/bin/python docs/pages.py

bench: $(VENV)/.installed-test $(PEERS)/.installed ## measure speed beside Stable-Baselines3, its contrib and SBX [ARGS="..."]
	$(RUN) benchmarks.speed $(ARGS)

clean: ## remove environments, caches and build products; runs/ stays
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg $(PEERS)/pyvenv.cfg:
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "rlzoo needs Python 3.11 or newer, found $$('$(PYTHON)' --version 2>/dev/null || echo none); name one with PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	@echo "making $(@D) with $(PYTHON) …"
	@'$(PYTHON)' -m venv --clear $(@D)

$(ENGINES:%=$(VENV)/.installed-%) $(VENV)/.installed-dev: $(VENV)/.installed-%: $(SOURCES)
	@echo "installing $* into $(VENV) …"
	@$(VENV)/bin/python $(PIP) -c constraints.txt -e '.[$*]'
	@touch $@

# Everything at once, so the smaller installations are done too.
$(VENV)/.installed-test: $(SOURCES)
	@echo "installing $(subst $(comma),$(comma) ,$(ALL_EXTRAS)) into $(VENV) (a few minutes) …"
	@$(VENV)/bin/python $(PIP) -c constraints.txt -e '.[$(ALL_EXTRAS)]'
	@touch $(ENGINES:%=$(VENV)/.installed-%) $(VENV)/.installed-dev $@

$(PEERS)/.installed: benchmarks/peers.txt $(PEERS)/pyvenv.cfg
	@echo "installing stable-baselines3, sb3-contrib, sbx-rl into $(PEERS) …"
	@$(PEERS)/bin/python $(PIP) -r benchmarks/peers.txt
	@touch $@
