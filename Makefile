# Everything CI does is "make check"; everything a person needs is in "make help".
SHELL := /bin/bash
export CGO_ENABLED := 0
export GOFLAGS := -tags=nomsgpack -trimpath
# Recorded exchanges, published schemas and the program that plays them, where they lie beside the project.
export TALLYROUTE_CORPUS ?= $(abspath $(firstword $(wildcard ../*/corpus/dev)))
export TALLYROUTE_SPEC ?= $(abspath $(firstword $(wildcard ../*/spec)))
export TALLYROUTE_PLAYER ?= $(abspath $(dir $(firstword $(wildcard ../*/tools/*/replay.go))))

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOL := go tool -modfile=tools.mod
FUZZTIME ?= 30s
RACE ?= ./...
# A machine three times slower than a developer's passes; a test that hangs ends sooner by its own bound.
TIMEOUT ?= 25m
# They start PostgreSQL or the program, or run the whole suite of a store.
SLOW := /billing/(lease|postgres|sqlite|billingtest)|/cmd/(tallyroute|corpus)$$|/examples/
PROOF := go test -count=1 -timeout 6h -parallel 1 -v

.DEFAULT_GOAL := help
.PHONY: help build run demo test test-fast test-race test-postgres fuzz proof proof-faults proof-races proof-limits proof-crash proof-outage proof-restarts proof-near proof-reload proof-keys proof-alerts proof-anomalies proof-audit proof-secrets proof-oidc proof-memory proof-speed proof-reports proof-agents bench golden generate fmt fmt-check lint vuln corpus check readme examples sbom image

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## Build bin/tallyroute: one static file
	go build -ldflags '$(LDFLAGS)' -o bin/tallyroute ./cmd/tallyroute

run: build ## Run the router with ./tallyroute.yaml, if there is one
	bin/tallyroute serve

demo: build ## Try it: a router, two demonstration providers, a key
	@bin/tallyroute demo

test: ## All tests, those against a real PostgreSQL included; asserts no times
	go test -timeout $(TIMEOUT) ./...

test-fast: ## The packages that need neither a database server nor the built program: a minute on two cores
	go test -timeout $(TIMEOUT) $$(go list ./... | grep -Ev '$(SLOW)')

test-race: ## All tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -timeout $(TIMEOUT) -race $(RACE)

test-postgres: ## Only the packages that talk to PostgreSQL
	go test -timeout $(TIMEOUT) ./billing/lease ./billing/postgres/... ./cmd/tallyroute/...

proof: proof-faults proof-races proof-limits proof-crash proof-outage proof-restarts proof-near proof-reload proof-keys proof-alerts proof-anomalies proof-audit proof-secrets proof-memory proof-speed proof-reports ## The proofs below that need no network and no packages of others; they run for hours and are not part of "make check"

proof-faults: ## PostgreSQL fails with SQLSTATEs of every class at every statement of the ledger, the disk below SQLite in every way, and the store behind a pooler
	FAULTS=1000 go test -count=1 -timeout 3h -v -run 'TestFaultsOf' ./billing/lease ./billing/sqlite
	POOLER=1 go test -count=1 -timeout 1h -run 'TestStoreBehindAPooler' ./billing/postgres
	USAGES=1000 go test -count=1 -timeout 1h -run 'TestUsageIsBooked' ./cmd/tallyroute

proof-races: ## Many clients at three routers use up one limit of about RACES (20000) requests, behind a pooler too; the ledger of leases in LEASE_RUNS (2000) random runs
	RACES=$${RACES:-20000} LIMITS=1 POOLER=1 $(PROOF) -run '^TestRace' ./cmd/tallyroute
	LEASE_RUNS=$${LEASE_RUNS:-2000} LIMITS=1 $(PROOF) -run '^TestInterleavings|^TestSuitePostgres' ./billing/lease

proof-limits: ## 64 clients at each of three routers use up every kind of limit: units, periods, scopes and parts, each with each
	NAMES=1 go test -count=1 -timeout 1h -run 'TestStore/Requests/TenThousand' ./billing/postgres ./billing/sqlite
	LIMITS_EVERY=$${LIMITS_EVERY:-1} $(PROOF) -run '^TestLimits' ./cmd/tallyroute

proof-crash: ## Kill the router CRASHES (1000) times under load and compare the ledger with the bill
	CRASHES=$${CRASHES:-1000} $(PROOF) -run '^TestCrash' ./cmd/tallyroute

proof-outage: ## The database stopped, frozen, slow, full, read-only for OUTAGE (60) seconds each, and a full disk
	OUTAGE=$${OUTAGE:-60} SPEED=1 $(PROOF) -run '^TestOutage' ./cmd/tallyroute

proof-restarts: ## RESTARTS (36) rolling restarts behind a balancer, under clients that keep their connections
	RESTARTS=$${RESTARTS:-36} $(PROOF) -run '^TestRollingRestarts' ./cmd/tallyroute

proof-near: ## The last answers and the refusals of a budget that 64 clients at each of ROUTERS (3) routers use up, in milliseconds; on a machine that does nothing else
	SPEED=1 ROUTERS=$${ROUTERS:-3} $(PROOF) -run '^TestNearALimit' ./cmd/tallyroute

proof-reload: ## The configuration reloaded RELOADS (100) times by SIGHUP under load: no request fails
	RELOADS=$${RELOADS:-100} $(PROOF) -run '^TestReloads' ./cmd/tallyroute

proof-keys: ## A key rotated ROTATIONS (20) times at 200 requests a second, and REVOCATIONS (200) keys revoked, at three routers; and one with KEYS (1000000) keys
	ROTATIONS=$${ROTATIONS:-20} REVOCATIONS=$${REVOCATIONS:-200} KEYS=$${KEYS:-1000000} $(PROOF) \
		-run '^TestRotationsLoseNo|^TestRevocationsReach|^TestMillionKeys' ./cmd/tallyroute

proof-alerts: ## ALERTS (10000) requests at three routers, two of which are killed, across the thresholds of three limits: each is told once, to a receiver that fails
	ALERTS=$${ALERTS:-10000} $(PROOF) -run '^TestEachThreshold' ./cmd/tallyroute

proof-anomalies: ## Six attacks on keys of six sorts, each in a week of ordinary use after four others, and the false alarms of ANOMALY_KEYS (120) keys in ten weeks
	ANOMALY_KEYS=$${ANOMALY_KEYS:-120} go test -count=1 -timeout 1h -v -run 'TestAttacksAreFound|TestOrdinaryUse' ./billing/anomaly

proof-audit: ## Every statement of what administrators do fails once, on both stores: no record, no change; and how many acts a second two routers record
	AUDIT=1 $(PROOF) -run '^TestNoRecordNoChange|^TestActsASecond' ./cmd/tallyroute

proof-secrets: ## Secrets of every kind are used by traffic of every kind, and looked for in files, tables, logs, metrics, answers and the list of processes
	SECRETS=1 $(PROOF) -run '^TestNoSecretIsLeft' ./cmd/tallyroute

proof-oidc: ## People log in at two OpenID providers as their makers publish them: npm oidc-provider and zitadel/oidc (OIDC_DIR keeps them; needs node and npm)
	OIDC_DIR=$${OIDC_DIR:-/tmp/tallyroute-oidc} $(PROOF) -run '^TestProviders' ./cmd/tallyroute

proof-memory: ## The memory of the real program under bodies that once took gigabytes
	$(PROOF) -run '^TestMemory' ./cmd/tallyroute

proof-agents: ## Coding agents and SDKs from the npm registry and the module proxy, in front of scripted upstreams of every wire format (AGENTS_DIR keeps them)
	AGENTS=1 $(PROOF) ./cmd/tallyroute/agents
	PAIRS=1 $(PROOF) -run '^TestRecorded' ./router/server

proof-speed: ## What is promised in milliseconds and statements, asserted; on a machine that does nothing else
	SPEED=1 go test -count=1 -p 1 -parallel 1 -timeout 1h ./cmd/tallyroute ./providers/... ./router/...
	SPEED=1 VIEW_ROWS=$${VIEW_ROWS:-1000000} LEASES=$${LEASES:-100000} UPDATES=$${UPDATES:-20000} $(PROOF) -run '^TestViews|^TestRenewals|^TestUpdates' ./billing/postgres

proof-reports: ## Reports by end user, tag and status over REPORT_ROWS (10000000) rows in both stores, which take about 8 GB of disk each
	SPEED=1 REPORT_ROWS=$${REPORT_ROWS:-10000000} $(PROOF) -p 1 -run '^TestReportsByBreakdowns' ./billing/sqlite ./billing/postgres

fuzz: ## Every fuzz test for FUZZTIME (30s)
	@set -e; for pkg in $$(go list ./...); do \
		for name in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$name"; go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: ## Throughput and CPU per request beside a bare reverse proxy, then the micro benchmarks
	go run ./cmd/routebench
	SPEED=1 go test -count=1 -v -run '^TestStatements' ./cmd/tallyroute
	go test -run '^$$' -bench . -benchmem ./...

corpus: ## Recorded provider traffic through the real router; CORPUS='-families gemini -v' for one format
	go run ./cmd/corpus $(CORPUS)

golden: ## Rewrite the golden files; review the diff like code
	go test ./providers/... ./router/... -update

generate: ## Regenerate what is generated
	TALLYROUTE_GENERATE=1 go test -count=1 -run TestListOfProviders ./providers/catalogue

fmt: ## Format the code
	$(TOOL) golangci-lint fmt

fmt-check:
	$(TOOL) golangci-lint fmt --diff

lint: ## Vet and lint
	go vet ./...
	$(TOOL) golangci-lint run

vuln: ## Look for known vulnerabilities in what is reachable
	$(TOOL) govulncheck ./...

sbom: build ## The bill of materials of the binary, as CycloneDX: bin/tallyroute.cdx.json
	.ci/sbom "$(VERSION)" > bin/tallyroute.cdx.json

readme: build ## Run the commands of the README
	.ci/readme

examples: build ## Run the SDK examples against a demonstration router
	.ci/examples

check: ## All that CI runs
	.ci/run

image: ## Build the container image
	docker build --build-arg VERSION=$(VERSION) -t tallyroute:$(VERSION) .
