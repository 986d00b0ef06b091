# Everything is done by start.py, so that it is the same where there is no make: python start.py COMMAND

PYTHON ?= python3
TORCH ?=
PORT ?=
ARGS ?=

START = $(PYTHON) start.py
CHOICES = $(if $(TORCH),--torch='$(TORCH)') $(if $(PORT),--port=$(PORT))
EXTRA = $(if $(ARGS),-- $(ARGS))

.DEFAULT_GOAL := help
.PHONY: help run demo setup test quick lint format types check bench audit demo-matrix clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## set up what is missing, then open the dashboard (TORCH='…pip arguments…', PORT=…, ARGS='…for Streamlit…')
	@$(START) run $(CHOICES) $(EXTRA)

demo: ## the same on a demo workspace full of recorded sessions, to look at and to replay
	@$(START) demo $(CHOICES) $(EXTRA)

setup: ## the same without opening the dashboard
	@$(START) setup $(CHOICES)

test: ## everything that CI checks: lint, format, types, tests (ARGS='…for pytest…')
	@$(START) test $(CHOICES) $(EXTRA)

quick: ## lint, format, types and the fast tests, in about a minute
	@$(START) quick

lint: ## ruff check
	@$(START) lint

format: ## rewrite every file in the house format
	@$(START) format

types: ## mypy
	@$(START) types

check: ## lint, format and types, without the tests
	@$(START) check

bench: ## measure ratios of speed, and fail where one became a fifth smaller (ARGS='--keep' to keep them)
	@$(START) bench $(EXTRA)

audit: ## look up the installed packages among the known vulnerabilities (needs the network)
	@$(START) audit

demo-matrix: ## print every scenario of the behavior matrix
	@$(START) demo-matrix

clean: ## remove caches and build leftovers (workspaces, models and .venv stay)
	@$(START) clean
