# Every target sets up what it needs. `make` alone says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Nothing of the caller's Go set-up is assumed. Version stamps are left out
# because they make every build ask git.
export GOFLAGS := -buildvcs=false
export GOWORK := $(CURDIR)/go.work
export PATH := $(CURDIR)/.tools/bin:$(PATH)

STEP := infra/tools/step.sh
# `./...` at the root of a workspace matches nothing; `work` matches it all.
ALL := work
# The race detector needs a C compiler; a machine without one tests without it.
RACE := $(shell CGO_ENABLED=1 command -v $$(go env CC | cut -d' ' -f1) >/dev/null 2>&1 && echo -race)
# How long each fuzz target runs: a number of inputs, because Go now and then
# fails a target at the end of a time with "context deadline exceeded" and no
# input that is wrong. Then: which benchmarks run and how often.
FUZZTIME ?= 20000x
BENCH ?= .
COUNT ?= 1
# Of bench-peers: the work set (small, medium or large), how often each figure is
# measured, how long, and the name under e2e/load/results to keep it as; OUT is also
# that of bench-people, under e2e/census/results.
PRESET ?= small
RUNS ?= 3
SECONDS ?= 10
OUT ?=

.PHONY: help
help: ## print this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## run everything on this machine: database, event bus, service, demo data
	go run ./services/meridian dev

.PHONY: test
test: ## run all tests (pkg with the race detector where there is a C compiler)
	@infra/tools/packages.sh
	@infra/tools/test.sh $(RACE)

.PHONY: check
check: ## all that must hold before a change is merged; ends with the tests
	@$(STEP) "tools" infra/tools/build.sh
	@$(STEP) "generated code is fresh" infra/tools/check-gen.sh
	@$(STEP) "proto style" buf lint
	@$(STEP) "proto format" buf format --diff --exit-code
	@$(STEP) "proto compatibility" infra/tools/check-breaking.sh
	@$(STEP) "go.mod files are tidy" infra/tools/check-tidy.sh
	@$(STEP) "texts" infra/tools/check-texts.sh
	@$(STEP) "go vet" go vet $(ALL)
	@$(STEP) "golangci-lint" infra/tools/lint.sh
	@$(STEP) "fuzz targets, $(FUZZTIME) each" infra/tools/fuzz.sh --unguided $(FUZZTIME)
	@$(STEP) "tests" infra/tools/test.sh $(RACE)
	@$(STEP) "layers" go test -count=1 -v ./e2e/arch

.PHONY: gen
gen: .tools/stamp ## generate code from proto
	buf generate

.PHONY: fmt
fmt: .tools/stamp ## format Go and proto, and fix what the linters can fix
	buf format -w
	infra/tools/lint.sh --fix

.PHONY: lint
lint: .tools/stamp ## golangci-lint over all modules, buf lint
	buf lint
	infra/tools/lint.sh

.PHONY: fuzz
fuzz: ## run every fuzz target, guided by coverage, for FUZZTIME (20000x inputs, or as 10m)
	infra/tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: .tools/stamp ## run benchmarks BENCH (.) COUNT (1) times, into bench.txt; all of them: the peers too, not bench-people
	infra/tools/bench.sh '$(BENCH)' $(COUNT)
	$(if $(filter .,$(BENCH)),$(MAKE) bench-peers)

.PHONY: bench-peers
bench-peers: ## measure OpenFGA and Meridian side by side: PRESET RUNS SECONDS OUT
	go run ./e2e/load/cmd/peers -preset $(PRESET) -runs $(RUNS) -seconds $(SECONDS) -out '$(OUT)'

.PHONY: bench-people
bench-people: ## measure calls about up to 100 000 organizations and 1 000 000 users, 6 GiB of disk: OUT
	go run ./e2e/census/cmd -out '$(OUT)'

.PHONY: drill
drill: ## break three regions in nine ways; reports into e2e/drills/reports
	infra/tools/drill.sh

.PHONY: e2e
e2e: ## run the end-to-end tests only, uncached
	@infra/tools/packages.sh
	go test -count=1 ./e2e/...

.PHONY: clean
clean: ## remove built tools and outputs; the data of `make dev` stays in .meridian
	rm -rf .tools coverage bench.txt

.tools/stamp: infra/tools/build.sh infra/tools/packages.sh infra/tools/go.mod infra/tools/go.sum infra/tools/package.json infra/tools/package-lock.json
	@infra/tools/build.sh
