# AgCluster. `make help` lists the targets. Everything that is built lands in build/; nothing else is touched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
TOOLS := build/tools

# Found by wildcard: a new folder with a main.go is a new plugin or policy.
PLUGINS := $(foreach k,provider filter exporter,$(patsubst plugins/$(k)s/%/main.go,$(k)-%,$(wildcard plugins/$(k)s/*/main.go)))
POLICIES := $(patsubst policies/%/policy.yaml,%,$(wildcard policies/*/policy.yaml))

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: deps build ## Run the main job end to end without a key (DEMO_KEEP=1 leaves the host up).
	@.ci/demo

.PHONY: run
run: deps build ## Start the host for real use: http://127.0.0.1:8000 (OFFLINE=1: with the scripted model; PROVIDER=docker).
	build/bin/agcluster serve $(if $(OFFLINE),--offline) $(if $(PROVIDER),--provider $(PROVIDER))

.PHONY: test
test: deps build ## Run every test, with the race detector and the real Claude Code.
	.ci/test

.PHONY: check
check: tools build ## Generated code, formatting, linters, dead code: no finding is allowed.
	.ci/check

.PHONY: bench
bench: deps build ## Measure the figures of .ci/bench (ONLY=NAME: one; AGCLUSTER_BENCH_PROVIDER=local: without Docker).
	@BENCH=1 .ci/deps
	@[ "$${AGCLUSTER_BENCH_PROVIDER:-docker}" != docker ] || { .ci/dockerd && .ci/images full; }
	@go run ./.ci/bench $(ONLY)

.PHONY: web
web: ## Build the dashboard anew into web/dist, which is checked in and embedded.
	@.ci/web build

.PHONY: shots
shots: deps build ## Write screenshots of every page of the dashboard to build/shots.
	@.ci/web shots

.PHONY: gen
gen: tools ## Generate code and openapi.yaml anew.
	.ci/gen

.PHONY: build
build: bin plugins policies agent ## Build the host, the plugins, the policies and the agent server.

.PHONY: base-image
base-image: ## Build the base of all images from this machine's own Debian archive (FORCE=1: again, for security updates).
	@.ci/base-image

.PHONY: images
images: agent ## Build the agent images; VARIANTS="minimal full data". BASE_IMAGE=debian:bookworm-slim takes a registry's base.
	@.ci/images $(or $(VARIANTS),minimal full data)

.PHONY: host-image
host-image: build ## Build the image of the host for docker/compose.yaml.
	@.ci/images host

.PHONY: clean
clean: ## Remove what was built.
	rm -rf build

.PHONY: deps
deps:
	@.ci/deps

.PHONY: bin
bin:
	@mkdir -p build/bin
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o build/bin/agcluster ./cmd/agcluster

.PHONY: plugins
plugins: $(addprefix plugin-,$(PLUGINS))
plugin-%:
	@mkdir -p build/plugins
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o build/plugins/$* ./plugins/$(firstword $(subst -, ,$*))s/$(patsubst $(firstword $(subst -, ,$*))-%,%,$*)

.PHONY: policies
policies: $(addprefix policy-,$(POLICIES))
policy-%:
	@mkdir -p build/policies
	GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags "-s -w" -buildmode=c-shared -o build/policies/$*.wasm ./policies/$*
	@cp policies/$*/policy.yaml build/policies/$*.yaml

.PHONY: agent
agent:
	@mkdir -p build/agent
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o build/agent/agcluster-agent ./cmd/agcluster-agent
	@.ci/claude build/agent/claude

# The developer tools of .ci/tools/go.mod, built once for each version of that file.
.PHONY: tools
tools: $(TOOLS)/.built
$(TOOLS)/.built: .ci/tools/go.mod .ci/tools/go.sum
	@mkdir -p $(TOOLS)
	cd .ci/tools && go build -o ../../$(TOOLS)/ tool
	@touch $@
