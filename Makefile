# Everything is pinned and run through Go: the only things to install are Go, make and git.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),dev)
IMAGE ?= nfo:$(VERSION)
LDFLAGS := -s -w -X main.version=$(VERSION)
# timetzdata: schedules name time zones, and the image has no files but the binary.
BUILD := $(GO) build -tags timetzdata -ldflags '$(LDFLAGS)'
LINT := $(CURDIR)/bin/tools/golangci-lint
GENERATED := api config
# The same for programs, tests and tools, so that they share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)


.PHONY: generate
generate: ## write CRDs, roles and deep copies anew from the Go sources
	$(GO) tool controller-gen object paths=./api/...
	$(GO) tool controller-gen crd output:crd:dir=config/crd paths=./api/...
	$(GO) tool controller-gen rbac:roleName=nfo-manager output:rbac:dir=config/rbac 'paths={./internal/controller/...,./internal/admission/...,./internal/certificate/...}'

.PHONY: verify
verify: ## fail if generated files or go.mod are not what the sources say
	@sums() { find $(GENERATED) -type f | sort | xargs sha256sum; }; \
	before=$$(sums) && $(MAKE) --no-print-directory generate && after=$$(sums); \
	diff <(echo "$$before") <(echo "$$after") || { echo 'Generated files were stale: commit what "make generate" has just written.' >&2; exit 1; }
	$(GO) mod tidy -diff

.PHONY: build
build: ## build bin/nfo
	$(BUILD) -o bin/ ./cmd/nfo

.PHONY: fmt
fmt: $(LINT) ## format the Go sources, imports in order
	$(LINT) fmt ./...

.PHONY: lint
lint: $(LINT) ## run the linters (the first time builds them, 3 minutes)
	$(LINT) run ./...
	cd test/cluster && $(LINT) run ./...
	cd tools/lint && $(LINT) run ./...

$(LINT): tools/lint/go.mod tools/lint/go.sum tools/lint/main.go
	$(GO) build -C tools/lint -ldflags '-s -w' -o $@ .


.PHONY: test
test: cluster ## run all tests, with a real Kubernetes API server and a real registry
	$(GO) test -timeout 20m ./...
	$(GO) test -C test/cluster -timeout 10m ./...

.PHONY: test-unit
test-unit: ## run the tests beside the code only: no cluster, seconds
	$(GO) test $$($(GO) list ./... | grep -v '/test/')

.PHONY: soak
soak: cluster ## push, release, restore and purge, all at once, for NFO_SOAK (default 10m)
	NFO_SOAK=$(or $(NFO_SOAK),10m) $(GO) test ./test/integration -run '^TestSoak' -count=1 -v -timeout 24h

.PHONY: bench
bench: cluster bin/peers ## measure what a purge and a release cost, beside their peers (15 minutes)
	$(GO) test ./internal/purge -run '^$$' -bench Plan -benchtime 500ms -timeout 2m
	$(GO) test ./test/bench -run '^$$' -bench . -benchtime 1x -timeout 15m

bin/peers: tools/peers/go.mod tools/peers/go.sum
	$(GO) build -C tools/peers -ldflags '-s -w' -o $(CURDIR)/$@/ tool
	@touch $@

.PHONY: cluster
cluster: ## build the test cluster's binaries (the first time takes 15 minutes)
	@$(GO) run -C test/cluster . build


.PHONY: bin/demo
bin/demo:
	@$(GO) build -o $@ ./test/demo

.PHONY: up
up: build cluster bin/demo ## start a cluster, a registry and the operator in the background
	@bin/demo up

.PHONY: demo
demo: build cluster bin/demo ## tell the story of one manifest, from upload to purge
	@bin/demo run

.PHONY: down
down: bin/demo ## end what `make up` started
	@bin/demo down


.PHONY: image
image: ## build the container image with docker, podman or buildah
	@for tool in docker podman buildah; do \
	  $$tool info >/dev/null 2>&1 || continue; \
	  set -x; exec $$tool build --build-arg VERSION=$(VERSION) -t $(IMAGE) .; \
	done; echo 'make image needs docker (with its daemon running), podman or buildah; "make build" needs none of them.' >&2; exit 1

.PHONY: clean
clean: ## remove everything built, but not Go's caches
	rm -rf bin test/cluster/bin
