# Every target can be run on its own, twice in a row, with or without a terminal.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test check bench fuzz

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Pack, sign, publish, find, verify and run a small program, then three attacks
	@scripts/setup.sh build demo
	@demo/demo.sh

# Tests that try things at random try the same ones each time; `make fuzz` looks for others.
test: export PROPTEST_RNG_SEED ?= 20261126
# Signals are as a terminal has them: a shell's background jobs ignore SIGINT, which tests send.
test: ## Run every test, against the real tools
	@scripts/setup.sh build test
	env --default-signal cargo test --workspace --locked --no-fail-fast

check: ## Formatting, lints, docs, licences, advisories, unused dependencies
	@scripts/setup.sh build
	@scripts/check.sh

bench: ## Measure packing, reading, fetching, building and serving against the other tools (release build; a quarter of an hour)
	@scripts/setup.sh build bench
	@bench/pack.sh
	@bench/read.sh
	@bench/store.sh
	@bench/large.sh
	@bench/fetch.sh
	@bench/serve.sh
	@bench/build.sh

SECONDS_EACH := $(or $(SECONDS),30)
fuzz: ## Fuzz every parser of outside bytes, each for SECONDS=30
	@scripts/setup.sh build
	@fuzz/run.sh $(SECONDS_EACH)
