# Each target prepares what it needs: `make test` works on a fresh Debian or Ubuntu with Rust.

CARGO ?= cargo
POSTGRES ?= 15

.PHONY: help demo prepare test soak bench docs

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-10s %s\n", $$1, $$2 }'

demo: ## deploy the reference stack on this machine, and say what to try next
	@tests/testbed/up --no-stack
	$(CARGO) build --release --locked -p ccrun
	@target/release/ccrun --quiet runbooks/secrets.rhai --param file=.ccrun/demo.env \
		--param domain=localhost --param url=http://127.0.0.1:18080
	target/release/ccrun --yes runbooks/deploy.rhai --target demo
	@tests/testbed/next

# The tests start a Postgres of their own from the server's binaries; Debian's packages start no
# cluster when a policy says so. Backups are read by plain `age` and `zstd`, and made by clocks that are wrong (`faketime`).
prepare: ## install and start what the tests need: the PostgreSQL server binaries, a Docker engine, the stack's images
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
		echo "installing postgresql-$(POSTGRES)"; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			postgresql-$(POSTGRES) postgresql-client-$(POSTGRES) || exit 1; \
	fi
	@for package in age zstd faketime; do \
		dpkg -s $$package >/dev/null 2>&1 || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing || exit 1; \
	fi
	@tests/testbed/up --no-stack

test: prepare ## run every test against real services
	$(CARGO) build --locked -p ccrun
	$(CARGO) test --workspace --locked --no-fail-fast

soak: prepare ## 2,000 triggers while the daemon is killed; 200 faults under backups; 10,000 tables and a large one; every fault of the stack
	$(CARGO) build --locked -p ccrun
	CCRUN_SOAK=2000/600 $(CARGO) test --workspace --locked --test watch_soak
	CCRUN_FAULTS=200 $(CARGO) test --workspace --locked --test backup_soak -- --nocapture
	CCRUN_BIG=10000/1024 $(CARGO) test --workspace --locked --test backup_big -- --nocapture --test-threads=1
	CCRUN_TROUBLE=all $(CARGO) test --workspace --locked --features ccrun-tests/soak --test troubleshoot -- --nocapture

bench: prepare ## measure, side by side with peers; writes target/bench/summary.md
	$(CARGO) build --release --locked -p ccrun
	tests/bench/run

docs: ## build the book and the reference
	$(CARGO) build --locked -p ccrun
	docs/build
