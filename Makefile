# Two commands are all a newcomer needs: make demo, make test. Each sets itself up on a
# machine with Go, Python 3 and make; what they fetch goes to the user's cache.
.DEFAULT_GOAL := help
SHELL := /bin/sh

CACHE     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/patgate
TOOLS     := $(CACHE)/bin
GO        := go
LINT      := $(TOOLS)/golangci-lint-v2.15.0
ACTIONS   := $(TOOLS)/actionlint-v1.7.12
VULN      := $(TOOLS)/govulncheck-v1.8.0
CYCLONEDX := $(TOOLS)/cyclonedx-gomod-v1.10.0
FUZZTIME  := 20s
KILLS     := 500
SOAK      := 10m
# The race detector needs a C compiler.
RACE      := $(shell command -v "$$($(GO) env CC)" >/dev/null 2>&1 && [ "$$($(GO) env CGO_ENABLED)" = 1 ] && echo -race)
# It has each program wait for a second before it ends, in case that a race is still to come. Tests run hundreds of
# programs, and those with more than one goroutine run for long enough.
export GORACE := atexit_sleep_ms=10

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: first-build build envoy ## run the whole thing on loopback, and take a tour
	@bin/patgate demo

.PHONY: first-build
first-build:
	@test -e bin/patgate || echo "The first build takes a minute or two, and downloads Envoy."

.PHONY: test
test: envoy ## all tests: units, sessions of the command line, and the system with a real Envoy
	$(GO) test $(RACE) -timeout 20m $(SLOW) ./...
	$(if $(RACE),$(GO) test -timeout 20m -run '$(IN_FULL)' ./loader)

# The packages whose tests take longest begin first. With the race detector, tests of what takes much time or memory
# take a sample; without it, everything.
SLOW      := ./test ./loader ./cmd/patgate
IN_FULL   := ^(TestTruncatedFilesAreNeverHalfApplied|TestRevocationTakesEffectDespiteCostlyInvalidFiles|TestMemoryWithCostlyInvalidFiles)$$

# What the snippets, and real clients and APIs, run with. Node, npm, Java, Maven, Python, curl, git and docker's
# command line (no daemon) must be there: what can't run fails.
CLIENTS   := $(CACHE)/clients-$(shell cat test/clients/* test/registry/* | cksum | cut -d' ' -f1)

# The tags of tests that need more than Go and Envoy. With all of them each time, ./test is compiled once.
TAGS      := bench,chaos,clients,fronts,h2spec,keycloak,kube,manage,mcp,mesh,oidc,soak,upstreams

.PHONY: test-clients
test-clients: envoy $(CLIENTS)/installed ## run the snippets in every language, and git, docker, npm and others with their APIs
	php=$$(command -v php || echo $$(python3 test/upstreams/install.py)/debian/root/usr/bin/php8.2) && \
	PATGATE_TEST_PHP=$$php PATGATE_TEST_CLIENTS=$(CLIENTS) $(GO) test -tags $(TAGS) -timeout 20m -run '^Test(Snippets$$|Clients)' ./test

# Clients of the management's API, and the program that holds it against its OpenAPI document.
MANAGE    := $(CACHE)/manage-$(shell cat test/manage/requirements.txt | cksum | cut -d' ' -f1)

.PHONY: test-manage
test-manage: $(MANAGE)/bin/schemathesis ## run real clients of the management's API, hold it against its document, and kill it among 50 users for a minute
	PATGATE_TEST_MANAGE=$(MANAGE) $(GO) test -tags manage -timeout 15m -run '^TestManage' ./test
	PATGATE_TEST_MANAGE_FOR=60s $(GO) test -count 1 -timeout 5m -run '^TestUsersAndKills$$' ./test

$(MANAGE)/bin/schemathesis:
	rm -rf $(MANAGE)
	python3 -m venv $(MANAGE)
	$(MANAGE)/bin/pip install --quiet --disable-pip-version-check -r test/manage/requirements.txt

# zitadel's OpenID Connect provider, from a module of its own.
OIDC      := $(TOOLS)/oidc-$(shell cat test/oidc/* | cksum | cut -d' ' -f1)

# oauth2-proxy, from a module of its own: its build takes a minute or two.
OAUTH2_PROXY := $(TOOLS)/oauth2-proxy-$(shell cat test/oauth2proxy/* | cksum | cut -d' ' -f1)

.PHONY: test-oidc
test-oidc: envoy $(OIDC) $(OAUTH2_PROXY) ## sign in to the management with zitadel's OpenID Connect provider, directly, behind Envoy's oauth2 filter and behind oauth2-proxy, and refuse what is forged
	PATGATE_TEST_OIDC=$(OIDC) PATGATE_TEST_OAUTH2_PROXY=$(OAUTH2_PROXY) $(GO) test -tags $(TAGS) -count 1 -timeout 5m -run '^TestOIDC' ./test

$(OIDC):
	$(GO) -C test/oidc build -trimpath -ldflags '-s -w' -o $@ .

$(OAUTH2_PROXY):
	$(GO) -C test/oauth2proxy build -trimpath -ldflags '-s -w' -o $@ github.com/oauth2-proxy/oauth2-proxy/v7

# Clients and a server of MCP, in a module of its own. Go, Python and Node must be there.
MCP       := $(CACHE)/mcp-$(shell cat test/mcp/* | cksum | cut -d' ' -f1)

.PHONY: test-mcp
test-mcp: envoy $(MCP)/installed ## use MCP servers in Go, Python and TypeScript through Envoy and HTTP fronts, with clients in all three (Debian 12)
	dir=$$(python3 test/fronts/install.py) && PATGATE_TEST_FRONTS=$$dir PATGATE_TEST_MCP=$(MCP) \
		$(GO) test -tags $(TAGS) -count 1 -timeout 10m -run '^TestMCP' ./test

$(MCP)/installed:
	rm -rf $(MCP) && mkdir -p $(MCP)
	cp test/mcp/* $(MCP)
	cd $(MCP) && npm ci --no-audit --no-fund --ignore-scripts
	python3 -m venv $(MCP)/python
	$(MCP)/python/bin/pip install --quiet --disable-pip-version-check -r test/mcp/requirements.txt
	$(GO) -C test/mcp build -trimpath -o $(MCP)/mcp .
	touch $@

.PHONY: test-keycloak
test-keycloak: ## sign in to the management with Keycloak (Maven, Java 17; its first run takes minutes)
	dir=$$(python3 test/keycloak/install.py) && PATGATE_TEST_KEYCLOAK=$$dir $(GO) test -tags keycloak -count 1 -timeout 15m -run '^TestKeycloak$$' ./test

# The page in a real Chromium, from a module of its own. Pictures of every view go to bin/screenshots;
# PICTURES=1 also writes those of docs/manage.md.
.PHONY: test-page
test-page: envoy build $(OIDC) ## drive the page with Chromium and axe-core, with and without JavaScript, light and dark, wide and narrow (Debian 12)
	rm -rf bin/screenshots && mkdir -p bin/screenshots
	parts=$$(python3 test/page/install.py) && cd test/page && $(GO) vet . && \
	env $$parts PATGATE_TEST_OIDC=$(OIDC) PATGATE_TEST_PAGE_BINARY=$(CURDIR)/bin/patgate PATGATE_TEST_PAGE_SHOTS=$(CURDIR)/bin/screenshots \
	$(GO) test -count 1 -timeout 8m . $(if $(PICTURES),-args -pictures $(CURDIR)/docs/images)

# Envoy Gateway's translator, from a module of its own.
EG_XDS    := $(TOOLS)/envoy-gateway-xds-$(shell cat test/envoygateway/* | cksum | cut -d' ' -f1)

.PHONY: test-mesh
test-mesh: envoy $(EG_XDS) ## run what Envoy Gateway's own translator makes of our objects (builds it once: minutes)
	ENVOY_GATEWAY_XDS=$(EG_XDS) $(GO) test -tags mesh -timeout 20m -run '^TestMesh' ./test

$(EG_XDS):
	cd test/envoygateway && $(GO) build -trimpath -ldflags '-s -w' -o $@ .

# The conformance test of HTTP/2 servers, from a module of its own.
H2SPEC    := $(TOOLS)/h2spec-$(shell cat test/h2spec/* | cksum | cut -d' ' -f1)

.PHONY: test-h2spec
test-h2spec: $(H2SPEC) ## hold our HTTP/2 transport against h2spec: no test may fail
	PATGATE_TEST_H2SPEC=$(H2SPEC) $(GO) test -tags $(TAGS) -count 1 -timeout 10m -run '^TestH2Spec$$' ./test

$(H2SPEC):
	cd test/h2spec && $(GO) build -trimpath -ldflags '-s -w' -o $@ github.com/summerwind/h2spec/cmd/h2spec

$(CLIENTS)/installed:
	rm -rf $(CLIENTS) && mkdir -p $(CLIENTS)
	cp test/clients/* $(CLIENTS)
	cd $(CLIENTS) && npm ci --no-audit --no-fund
	python3 -m venv $(CLIENTS)/python
	$(CLIENTS)/python/bin/pip install --quiet --disable-pip-version-check -r test/clients/requirements.txt
	$(GO) -C test/registry build -trimpath -o $(CLIENTS)/registry .
	curl --version && java --version && node --version && mvn --version && git --version && docker --version
	touch $@

.PHONY: test-upstreams
test-upstreams: envoy ## send look-alikes to real APIs, and check what each says that it read (Debian 12, Java, Maven, Node)
	dir=$$(python3 test/upstreams/install.py) && PATGATE_TEST_UPSTREAMS=$$dir $(GO) test -tags $(TAGS) -count 1 -timeout 20m -run '^TestUpstream' ./test $(UPDATE)

.PHONY: test-fronts
test-fronts: envoy ## ask patgate over HTTP from nginx, HAProxy, Caddy and Envoy: the corpus, forged headers, printed configurations (Debian 12)
	dir=$$(python3 test/fronts/install.py) && PATGATE_TEST_FRONTS=$$dir $(GO) test -tags $(TAGS) -count 1 -timeout 10m -run '^Test(Front|Nginx)' ./test $(UPDATE)

.PHONY: test-traefik
test-traefik: envoy ## what test-fronts does, with Traefik, which its first run builds (ten minutes)
	dir=$$(python3 test/fronts/install.py traefik) && PATGATE_TEST_FRONTS_TRAEFIK=1 PATGATE_TEST_FRONTS=$$dir \
	$(GO) test -tags $(TAGS) -count 1 -timeout 10m -run '^TestFront' ./test $(UPDATE)

.PHONY: test-kube
test-kube: envoy $(OIDC) ## run the chart and the examples with Helm and a real API server; its first run builds one
	dir=$$(python3 test/kube/install.py) && PATGATE_TEST_KUBE=$$dir PATGATE_TEST_OIDC=$(OIDC) $(GO) test -tags $(TAGS) -count 1 -timeout 20m ./test/kube
	$(GO) -C test/kube/flux test ./...

# What is slow, and rarely says what CI does not.
.PHONY: nightly
nightly: fuzz test-mesh test-traefik test-image mutants chaos soak ## run what .ci/run leaves out: a random search, Envoy Gateway's translator, Traefik, the image, planted flaws, kills, a soak

.PHONY: build
build: ## bin/patgate
	$(GO) build -trimpath -o bin/patgate ./cmd/patgate

.PHONY: image
image: $(CYCLONEDX) ## the container image of the last commit, without a container engine: bin/image
	$(GO) -C image run . -out ../bin/image
	@set -e; for p in linux-amd64 linux-arm64; do \
	  $(CYCLONEDX) bin -json -std -noserial -notimestamp -output bin/image/patgate-$$p.cdx.json bin/image/patgate-$$p; \
	done

.PHONY: test-image
test-image: $(CYCLONEDX) ## build the image twice, look into it, run it, alone and as the sidecar of docs/examples (root, on Linux)
	@ENVOY_PATH="$$(python3 envoy/install.py)" CYCLONEDX_GOMOD=$(CYCLONEDX) $(GO) -C image test -timeout 20m ./...

# What the archives of a release hold beside the binary.
.PHONY: release-files
release-files:
	rm -rf bin/release && mkdir -p bin/release/completions
	$(GO) -C image run . -licenses ../bin/release
	@set -e; for s in bash zsh fish powershell; do bin/release/patgate completion $$s > bin/release/completions/patgate.$$s; done
	@mv bin/release/completions/patgate.powershell bin/release/completions/patgate.ps1

.PHONY: envoy
envoy: ## put the tested Envoy into the cache, and print its path
	@python3 envoy/install.py

.PHONY: check
check: $(LINT) $(VULN) $(ACTIONS) ## format, vet, lint, workflows, and known vulnerabilities
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi
	$(GO) vet -tags $(TAGS) ./...
	GOOS=windows $(GO) vet ./cmd/patgate
	GOOS=windows $(GO) build -o /dev/null ./cmd/patgate
	GOARCH=arm64 $(GO) build ./...
	$(GO) -C test/registry vet ./...
	$(GO) -C image vet ./...
	$(LINT) run
	cd image && $(LINT) run
	$(ACTIONS) -shellcheck= -pyflakes= .github/workflows/*.yaml docs/examples/gitops/ci/github.yaml
	@VULN=$(VULN) sh .ci/vuln

.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME (20s)
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || :); do \
	    echo "fuzz $$p $$f"; GO=$(GO) sh .ci/fuzz $$p $$f $(FUZZTIME); \
	  done; \
	done

.PHONY: bench
bench: build envoy ## measure checks against a no-op server of plain grpc-go, in one run; PEER='NAME=COMMAND' is measured too
	$(GO) build -o bin/bench ./test/bench
	$(GO) test -c -tags bench -o bin/bare ./extauthz
	bin/bench checks -o bin/bench.json -plots docs -page docs/performance.md $(if $(PEER),-peer '$(PEER)')

.PHONY: bench-scale
bench-scale: build ## load, memory, revocation and reload with 100,000 and 1,000,000 tokens
	$(GO) build -o bin/bench ./test/bench
	bin/bench scale -o bin/scale.json -page docs/performance.md

.PHONY: bench-manage
bench-manage: ## how long changes of tokens take over HTTP, until they are in force, among 10,000
	$(GO) test -run '^$$' -bench '^BenchmarkManage$$' -benchtime 250x ./server

.PHONY: bench-evidence
bench-evidence: build ## read an audit log of a million events: verify, usage, summary, replay and suggest
	$(GO) build -o bin/bench ./test/bench
	bin/bench evidence -o bin/evidence.json
	$(GO) test -run '^$$' -bench '^(BenchmarkSeen|BenchmarkSeal)$$' -benchmem ./usage ./audit

.PHONY: bench-parts
bench-parts: ## benchmarks of the parts
	$(GO) test -run '^$$' -bench . -benchmem ./policy ./audit ./extauthz ./loader

.PHONY: test-rolling
test-rolling: envoy ## restart and kill two replicas 20 times under load: no call may be refused
	$(GO) test $(RACE) -timeout 20m -run '^(TestRollingRestarts|TestReplicasKilled)$$' -v ./test -restarts 20

.PHONY: chaos
chaos: envoy ## what takes longer than `make test` should: KILLS (500) kills under load, memory that runs out
	$(GO) test -tags chaos -timeout 60m -v -run '^(TestKilled|TestChaos)' ./test -kills $(KILLS)

.PHONY: soak
soak: envoy ## a steady load with all sorts of trouble for SOAK (10m): memory, goroutines and descriptors stay flat
	$(GO) test -tags soak -timeout 24h -v -run '^TestSoak$$' ./test -soak $(SOAK)

.PHONY: mutants
mutants: ## plant flaws in what decides, one at a time: a test must catch each
	$(GO) run ./test/mutants

.PHONY: golden
golden: envoy ## write the golden files anew, but for those of test/kube; read the diff before you commit it
	$(GO) test $$(grep -rl 'patgate/test/golden"' --include='*_test.go' . | xargs -n 1 dirname | grep -v '^./test/kube' | sort -u) -update

# The tools are pinned by the names of their files.
$(LINT):
	GOBIN=$(TOOLS)/build $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(TOOLS)/build/golangci-lint $@

$(ACTIONS):
	GOBIN=$(TOOLS)/build $(GO) install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	mv $(TOOLS)/build/actionlint $@

$(VULN):
	GOBIN=$(TOOLS)/build $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.8.0
	mv $(TOOLS)/build/govulncheck $@

$(CYCLONEDX):
	GOBIN=$(TOOLS)/build $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
	mv $(TOOLS)/build/cyclonedx-gomod $@
