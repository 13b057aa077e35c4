# make run     builds the bridge and starts it; settings by ARGS="--api 127.0.0.1:9090"
# make test    everything that CI runs, on a bare machine too
#
# Both first install what is missing and say so (.ci/install). Each check is a target of its own.

CARGO ?= cargo
ARGS ?=
# For each of the eight targets: some 80 seconds in total.
FUZZ_SECONDS ?= 12

# Packages of their own, because their dependencies must not mix with the bridge's.
APART := $(patsubst %/Cargo.toml,%,$(wildcard tests/*/Cargo.toml))
TESTED_APART := $(filter-out tests/fuzz,$(APART))

.PHONY: run test build-tools test-tools fmt clippy doc deny unit apart page schema client torture fuzz

run: build-tools
	$(CARGO) run --release --locked -- $(ARGS)

test: test-tools fmt clippy doc deny unit apart page schema client fuzz
	@echo "All tests passed."

# libopus is compiled from source.
build-tools:
	@.ci/install cmake:cmake c++:g++

# sipp, baresip and Linphone are the phones of strangers, dnsmasq names them, Kamailio is a proxy between, Postgres keeps what SQLite keeps, Chromium looks
# at the operator's page and Node presses its buttons, Python runs Schemathesis; aiosmtpd takes mail, and icalendar reads what is in it, slapd
# knows people.
test-tools: build-tools
	@.ci/install sipp:sip-tester baresip:baresip-core linphonec:linphone-cli dnsmasq:dnsmasq-base kamailio:kamailio \
		'/usr/lib/*/kamailio/modules/tls.so:kamailio-tls-modules' pg_ctlcluster:postgresql chromium,google-chrome:chromium openssl:openssl opusdec:opus-tools node:nodejs npm:npm \
		python3:python3 '/usr/lib/python3*/ensurepip/__init__.py:python3-venv' \
		/usr/sbin/slapd:slapd /usr/lib/python3/dist-packages/aiosmtpd/smtp.py:python3-aiosmtpd \
		/usr/lib/python3/dist-packages/icalendar/cal.py:python3-icalendar

fmt:
	$(CARGO) fmt --all --check
	@set -e; for package in $(APART); do $(CARGO) fmt --manifest-path $$package/Cargo.toml --check; done

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@set -e; for package in $(APART); do \
		echo "clippy: $$package"; \
		$(CARGO) clippy --locked --manifest-path $$package/Cargo.toml --all-targets -- -D warnings; \
	done

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# Licences, advisories and sources of what we depend on; needs the network and cargo-deny.
deny:
	@if command -v cargo-deny >/dev/null 2>&1; then $(CARGO) deny check; else echo "deny: no cargo-deny, skipped"; fi

# Unit and property tests, tests/architecture.rs, and tests/{sim,torture,e2e}.
unit:
	$(CARGO) test --locked --workspace

apart:
	@set -e; for package in $(TESTED_APART); do \
		echo "test: $$package"; \
		$(CARGO) test --locked --manifest-path $$package/Cargo.toml; \
	done

# The operator page in Chromium, against a bridge with real calls: that which `unit` has built. Alone, the bridge would be
# built again with other features of its libraries.
page: test-tools tests/page/node_modules/.package-lock.json
	$(CARGO) test --locked --workspace --no-run
	$(CARGO) build --locked --manifest-path tests/phone/Cargo.toml
	npm --prefix tests/page test

tests/page/node_modules/.package-lock.json: tests/page/package-lock.json
	npm --prefix tests/page ci
	@touch $@

# What /openapi.json says, tried on a pretend bridge by Schemathesis; the same at each run.
schema: test-tools
	tests/schema/run

# A typed client that is generated from the OpenAPI document works.
client: test-tools
	tests/client/run

# The odd messages alone; part of `unit`.
torture:
	$(CARGO) test --locked --test torture

fuzz:
	@if [ -x tests/fuzz/run ]; then tests/fuzz/run $(FUZZ_SECONDS); else echo "fuzz: no targets yet"; fi
