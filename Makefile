# The few commands of the project. `make run` needs nothing but Rust; `make test` says what it skips and why.

CARGO := cargo --locked
BIN := target/debug/memorybank
SAMPLE := target/sample
LOCAL := $(BIN) local --config $(SAMPLE)/config --data $(SAMPLE)/data --once --now
# Tools that must be built are built once and kept here, outside the checkout.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/memorybank-tools
DENY := $(TOOLS)/cargo-deny-0.20.2

.PHONY: run test lint bench generate

# The main job on an embedded default: a healthy sample bank is learned, damage is planted in it, and
# what the guardian finds is held against what was planted.
run:
	$(CARGO) build
	@rm -rf $(SAMPLE)
	$(BIN) sample --out $(SAMPLE) --damage none
	$(LOCAL)
	$(BIN) sample --out $(SAMPLE) --damage all
	$(LOCAL) || test $$? -eq 1
	$(BIN) eval sample --bank $(SAMPLE) --data $(SAMPLE)/data

test: lint
	$(CARGO) test

lint: $(DENY)/bin/cargo-deny
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(DENY)/bin/cargo-deny --log-level error check licenses bans sources

bench:
	$(CARGO) bench

# Files that are made from the code: tests fail while they are out of date.
generate:
	$(CARGO) run -- crd --out crds

$(DENY)/bin/cargo-deny:
	cargo install cargo-deny --version 0.20.2 --locked --root $(DENY)
