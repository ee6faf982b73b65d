# The commands of this repository. `make help` lists them; the recipes only call scripts and cargo.

SHELL := /bin/bash
# Not TIDEWIRE_...: those variables are options of the edge.
TIDE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidewire
export TIDE_CACHE
# CI runs in a fresh clone: its target folder must outlive the checkout.
ifdef CI
CARGO_TARGET_DIR ?= $(TIDE_CACHE)/target
export CARGO_TARGET_DIR
endif

# For the edge's tests against a real broker.
export NATS_SERVER ?= $(TIDE_CACHE)/bin/nats-server

.PHONY: help run build test check generate e2e images cluster cluster-down bench fuzz

help: ## list the commands
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: ## one edge in development mode, with a demo page
	cargo run --bin edge -- dev

build: ## the edge and the operator, optimised
	cargo build --release --bin edge --bin operator

test: ## every test there is; installs what it needs (root, Debian 12)
	@e2e/scripts/test.sh

e2e: ## only the tests of the whole product: SDKs, browser, cluster
	@e2e/scripts/test.sh e2e

check: ## formatting, lints, documentation, unit tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	charts/helm.sh lint --quiet charts/tidewire
	@e2e/cluster/build.sh nats-server
	cargo test --workspace --exclude tidewire-e2e

generate: ## what is made from the code: CRD, the chart's copy, manifests
	@charts/generate.sh

images: ## static binaries as image tarballs, in the cache
	@e2e/scripts/images.sh

cluster: ## a Kubernetes with the quickstart on it (or the one of KUBECONFIG)
	@e2e/scripts/cluster.sh up

cluster-down: ## ends what `make cluster` started
	@e2e/scripts/cluster.sh down

bench: ## what a connection and a delivery cost; ARGS="fan-low --runs 3"
	cargo build --release --package tidewire-edge --package tidewire-bench
	cargo run --release --package tidewire-bench -- $(ARGS)

fuzz: ## runs every fuzz target for a minute
	@e2e/scripts/fuzz.sh
