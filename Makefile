# `make demo` shows what Saggar does; `make test` proves it. Both build all they need.

CARGO ?= cargo
GUESTS := --manifest-path plugins/Cargo.toml --release --target wasm32-wasip2

.PHONY: guests
guests: ## Build the plugins and the tests' guests to WebAssembly
	$(CARGO) build $(GUESTS) --workspace --lib --examples
