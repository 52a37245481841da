# `make run` and `make test` are all that most people need; both install what is missing.
.PHONY: run test build check bench bench-quick fuzz images install uninstall soak setup setup-test ui model clean

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Looked up when it is used: after `setup`.
features = $(shell . scripts/lib.sh; features)
release_features = $(shell . scripts/lib.sh; release_features)

# Everything on this machine: Redis (unless REDIS_URL names one), two workers, launcher, signaling, page.
run: build model
	@SIGHTLINE_WORKERS=$${SIGHTLINE_WORKERS:-2} exec target/release/pipeline-launcher up

# All tests, of every kind, of one debug build.
test: setup-test ui model
	scripts/test.sh

# Release programs and plugins in target/release, the page in ui/dist.
build: setup ui
	cargo build --release --workspace $(release_features)

# What must hold before a commit, without running the tests.
check: setup-test ui
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(features) -- -D warnings
	npm --prefix ui run check
	cargo run --quiet -p pipeline-launcher $(features) -- check --deny-warnings pipelines
	scripts/test.sh models

# Measures accuracy, speed and tracking; needs a local data folder (see bench/README.md).
bench: build model
	bench/run.sh

# In three minutes: faster or slower than what is recorded?
bench-quick: build model
	bench/performance/run.sh quick

# Looks for inputs that break the parsers of what comes from outside; FUZZ_SECONDS for each.
fuzz: setup
	scripts/fuzz.sh $${FUZZ_SECONDS:-60}

# Proof that it keeps running: an hour of churn, faults and load, as root. ROWS='churn:100 chaos:1' runs a part of it; see docs/reliability.md.
soak: setup-test ui
	@. scripts/lib.sh; install_packages valgrind
	cargo build --release --workspace $(release_features)
	node e2e/reliability/run.mjs --result bench/results/reliability.json $(ROWS)

# Container images of signaling and pipeline-launcher; with PROGRAMS=target/release of what is built already.
images:
	scripts/images.sh

# What `make build` has made, for all users of this machine: PREFIX, DESTDIR (see scripts/install.sh).
install:
	@scripts/install.sh install

uninstall:
	@scripts/install.sh uninstall

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

# Rebuilt when a source is newer than the built page.
ui: ui/dist/index.html

ui/dist/index.html: ui/package-lock.json ui/index.html $(shell find ui/src ui/public -type f)
	npm --prefix ui ci --no-audit --no-fund
	npm --prefix ui run build

model:
	@scripts/model.py $${SIGHTLINE_MODEL:-yolox_nano}

clean:
	rm -rf target ui/dist ui/node_modules
