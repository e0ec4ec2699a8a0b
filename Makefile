# `make demo` shows what Saggar does; `make test` proves it. Both build all they need.

# A recipe ends at its first failing line, also inside a pipe.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# The plugins and the tests' guests are a workspace of their own, for another target.
GUESTS := --manifest-path plugins/Cargo.toml --release --target wasm32-wasip2 --workspace --lib --examples
# Always the whole workspace in one profile: a build of a part selects other features, and compiles wasmtime again.
HOST := --release --workspace

# What cargo tells a test that calls make is not meant for the cargo called from here: crates whose build looks at it,
# such as ring, would be compiled again, and once more afterwards.
unexport CARGO_MANIFEST_DIR CARGO_MANIFEST_LINKS CARGO_PKG_NAME
unexport CARGO_PKG_VERSION_MAJOR CARGO_PKG_VERSION_MINOR CARGO_PKG_VERSION_PATCH CARGO_PKG_VERSION_PRE

.PHONY: help prerequisites guests foreign build demo bench chaos instructions test lint clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prerequisites:
	@.ci/prerequisites

guests: prerequisites ## Build the plugins and the tests' guests to WebAssembly
	@# Panics tell the place in the source, not the place on the machine that built it.
	RUSTFLAGS='--remap-path-prefix=$(CURDIR)/=' $(CARGO) build $(GUESTS)
	@# The tests look at the time: a guest that no change touched is as fresh as one that was built again.
	@touch plugins/target/wasm32-wasip2/release/*.wasm plugins/target/wasm32-wasip2/release/examples/*.wasm

foreign: prerequisites ## Fetch other languages' toolchains and build the tests' programs in them: 750 MB in target/
	@tests/foreign/build

build: prerequisites ## Build target/release/saggar
	$(CARGO) build $(HOST)

demo: guests build ## Run a few hundred tasks of two tenants, four of them hostile
	@target/release/saggar-demo

bench: guests build ## Measure this machine, beside what it would do without Saggar: 15 minutes
	@target/release/saggar bench

chaos: guests build ## Break things for SECONDS=60 (SEED=any NODES=1 or 3) while tasks run; check that nothing was lost
	@target/release/saggar-chaos --seconds $(or $(SECONDS),60) --nodes $(or $(NODES),1) $(if $(SEED),--seed $(SEED)) \
		$(if $(RATE),--rate $(RATE))

instructions: guests prerequisites ## Count the instructions of an attempt with valgrind, against the recorded number
	$(CARGO) build $(HOST) --examples
	@tests/bench/instructions/check

test: prerequisites ## Formatting, lints and every test, with one summary
	@.ci/test

lint: prerequisites ## Formatting and lints only
	@.ci/test lint

clean: ## Remove everything that was built
	$(CARGO) clean
	$(CARGO) clean --manifest-path plugins/Cargo.toml
