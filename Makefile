# Everything is pinned and run with Go: only Go, make and git must be installed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
VERSION ?= $(or $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null),dev)
REVISION ?= $(or $(shell git rev-parse HEAD 2>/dev/null),unknown)
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
IMAGE ?= localhost/nfo:$(VERSION)
LDFLAGS := -s -w -X main.version=$(VERSION)
# timetzdata: schedules contain time zone names, and the image has no time zone files.
# No buildvcs: a stray file next to the sources must not change the binaries, and VERSION names the commit.
# TAGS adds build tags, such as s3: the registry then has that storage driver, and the image is larger than 64 MiB.
COMMA := ,
BUILD := $(GO) build -buildvcs=false -tags 'timetzdata$(if $(TAGS),$(COMMA)$(TAGS))' -ldflags '$(LDFLAGS)'
ARCHITECTURES := amd64 arm64
IMAGE_TOOL := $(GO) run -C tools/image .
DIST_TOOL := $(GO) run -C tools/dist .
# The files of a release: the platforms of kubectl's plugin, the locations of the image and
# the files, and the OpenPGP key that signs them; without SIGNING_KEY they are not signed.
DIST ?= $(CURDIR)/dist
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
DIST_REPOSITORY ?= ghcr.io/nfo-operator/nfo
DOWNLOADS ?= https://github.com/nfo-operator/nfo/releases/download/$(VERSION)
SIGNING_KEY ?=
ARCHIVE := '$(CURDIR)/bin/image/nfo.tar'
ROOTS := '$(CURDIR)/bin/image/ca-certificates.crt'
# buildah for `make image-check`: without a daemon or network, and with all its files in bin.
BUILDAH := buildah --root '$(CURDIR)/bin/image/buildah/root' --runroot '$(CURDIR)/bin/image/buildah/run' --storage-driver vfs
LINT := $(CURDIR)/bin/tools/golangci-lint
HELM := bin/tools/helm
GENERATED := api config charts docs/reference
UNIT = $$($(GO) list ./... | grep -v '/test/')
# The same settings for programs, tests and tools, so that they share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath
# Only tests use cgo, for the race detector, and only if a C compiler can build it here.
RACE = $(eval RACE := $$(shell GOFLAGS='$(GOFLAGS)' CGO_ENABLED=1 $(GO) build -race runtime/cgo 2>/dev/null && echo -race))$(RACE)
TEST = $(if $(RACE),CGO_ENABLED=1 )$(GO) test
SAY_RACE = @$(if $(RACE),:,echo 'The tests run without the race detector, which needs a C compiler and its headers: apt-get install gcc libc6-dev')

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)


.PHONY: generate
generate: $(HELM) ## write CRDs, roles, deep copies and docs/reference anew from the sources
	$(GO) tool controller-gen object paths=./api/...
	$(GO) tool controller-gen crd output:crd:dir=config/crd paths=./api/...
	$(GO) tool controller-gen rbac:roleName=nfo-manager output:rbac:dir=config/rbac 'paths={./internal/reference/...,./internal/admission/...,./internal/caller/...,./internal/certificate/...,./internal/mirror/...,./internal/mirrored/...}'
	$(GO) tool controller-gen rbac:roleName=nfo-manager-watched,fileName=watched.yaml output:rbac:dir=config/rbac paths=./internal/controller/...
	$(GO) tool controller-gen rbac:roleName=nfo-purger,fileName=purger.yaml output:rbac:dir=config/rbac paths=./internal/purge/...
	$(GO) tool controller-gen rbac:roleName=nfo-remover,fileName=remover.yaml output:rbac:dir=config/rbac paths=./internal/removal/...
	$(GO) tool controller-gen rbac:roleName=nfo-checker,fileName=checker.yaml output:rbac:dir=config/rbac paths=./cmd/nfo
	$(GO) tool controller-gen rbac:roleName=nfo-registry,fileName=registry.yaml output:rbac:dir=config/rbac paths=./internal/clusterregistry/...
	$(MAKE) --no-print-directory charts/nfo/files
	$(GO) run -C tools/chart . '$(CURDIR)/charts/nfo' '$(CURDIR)/docs/reference/values.md'
	$(HELM) template nfo charts/nfo --namespace nfo-system --set image.repository=nfo,metrics.prometheusRule.enabled=true,registry.enabled=true,mirror.enabled=true | \
	  $(GO) run -C tools/reference . '$(CURDIR)'
	NFO_WRITE_REFERENCE=1 $(GO) test ./cmd/nfo ./cmd/kubectl-nfo -run '^TestReferencePages' -count=1

# The chart's copies of config, because `helm` reads no file outside the chart's folder.
.PHONY: charts/nfo/files
charts/nfo/files:
	rm -rf $@
	mkdir -p $@/crd $@/rbac $@/webhook
	cp config/crd/nfo.dev_*.yaml $@/crd
	cp config/rbac/{identity,role,watched,purger,remover,checker,registry,tenants,workloads,mirror,mirror_purger}.yaml $@/rbac
	cp config/webhook/{webhook,tombstones,manager,purger,pods}.yaml $@/webhook

.PHONY: verify
verify: ## fail if generated files or go.mod are not what the sources say
	@sums() { find $(GENERATED) -type f | sort | xargs sha256sum; }; \
	before=$$(sums) && $(MAKE) --no-print-directory generate && after=$$(sums); \
	diff <(echo "$$before") <(echo "$$after") || { echo 'Generated files were stale: commit what "make generate" has just written.' >&2; exit 1; }
	$(GO) mod tidy -diff

.PHONY: build
build: ## build bin/nfo, and bin/kubectl-nfo, which on the PATH is `kubectl nfo`
	$(BUILD) -o bin/ ./cmd/nfo ./cmd/kubectl-nfo

.PHONY: fmt
fmt: $(LINT) ## format the Go sources, imports in order
	$(LINT) fmt ./...

.PHONY: lint
lint: $(LINT) $(HELM) ## run the linters (the first time builds them, 6 minutes)
	$(HELM) lint --strict --quiet charts/nfo --set image.repository=registry.example.com/nfo
	$(LINT) run ./...
	cd test/cluster && $(LINT) run ./...
	cd tools/lint && $(LINT) run ./...
	cd tools/image && $(LINT) run ./...
	cd tools/chart && $(LINT) run ./...
	cd tools/reference && $(LINT) run ./...
	cd tools/dist && $(LINT) run ./...

$(LINT): tools/lint/go.mod tools/lint/go.sum tools/lint/main.go
	$(GO) build -C tools/lint -ldflags '-s -w' -o $@ .

# Without these flags helm assumes Kubernetes 1.20 when it has no cluster to ask.
$(HELM): tools/helm/go.mod tools/helm/go.sum
	helm=helm.sh/helm/v3; version=$$($(GO) list -C tools/helm -m -f '{{.Version}}' $$helm); \
	minor=$$($(GO) list -C tools/helm -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2); \
	$(GO) build -C tools/helm -o '$(CURDIR)/$@' -ldflags "-s -w -X $$helm/internal/version.version=$$version \
	  $$(printf -- " -X $$helm/pkg/%s.k8sVersionMajor=1 -X $$helm/pkg/%s.k8sVersionMinor=$$minor" chartutil chartutil lint/rules lint/rules)" $$helm/cmd/helm


.PHONY: test
test: cluster $(HELM) ## run all tests, with a real Kubernetes API server and a real registry
	$(SAY_RACE)
	$(TEST) $(RACE) $(UNIT)
	@# One package at a time, because each starts an API server and has deadlines.
	$(TEST) $(RACE) -p 1 -timeout 40m ./test/...
	$(TEST) -C test/cluster $(RACE) -timeout 10m ./...
	$(TEST) -C tools/image $(RACE) -timeout 5m ./...
	$(TEST) -C tools/chart $(RACE) ./...
	$(TEST) -C tools/reference $(RACE) ./...
	$(TEST) -C tools/dist $(RACE) ./...

.PHONY: test-unit
test-unit: ## run the tests beside the code only: no cluster, 2 minutes
	$(SAY_RACE)
	$(TEST) $(RACE) $(UNIT)

.PHONY: cover
cover: ## print which part of each package the tests beside its code cover
	@mkdir -p bin
	@$(GO) test -coverprofile=bin/coverage.out $(UNIT) > bin/coverage.txt || { cat bin/coverage.txt; exit 1; }
	@sed -nE 's#.*nfo-operator/nfo/([^[:space:]]+).*coverage: ([0-9.]+%).*#\2 \1#p' bin/coverage.txt | sort -k 2 | xargs -n 2 printf '%6s  %s\n'
	@$(GO) tool cover -func=bin/coverage.out | awk 'END {printf "%6s  total\n", $$NF}'

.PHONY: e2e
e2e: build node-cluster bin/demo bin/quickstart bin/peers $(HELM) ## test everything on a node of a real cluster, installed with the chart, as root (30 minutes)
	@$(MAKE) --no-print-directory image IMAGE=registry.example.com/nfo:e2e
	NFO_E2E=1 $(GO) test ./test/e2e -run TestNfo -count=1 -v -timeout 40m
	NFO_E2E=1 $(GO) test ./test/e2e -run 'TestClusterRegistry$$' -count=1 -v -timeout 15m
	NFO_E2E=1 $(GO) test ./test/e2e -run TestClusterRegistryReplicas -count=1 -v -timeout 15m
	NFO_E2E=1 $(GO) test ./test/e2e -run 'TestMirror$$' -count=1 -v -timeout 20m
	NFO_E2E=1 $(GO) test ./test/e2e -run TestMirrorFaults -count=1 -v -timeout 20m
	NFO_E2E=1 $(GO) test ./test/e2e -run TestMirrorNodes -count=1 -v -timeout 20m
	NFO_E2E=1 $(GO) test ./test/e2e -run TestQuickstart -count=1 -v -timeout 20m

.PHONY: fuzz-import
fuzz-import: ## look for inputs that break kubectl nfo import, for NFO_FUZZ (default 10m)
	$(GO) test ./internal/aosm -run '^$$' -fuzz '^FuzzImport$$' -fuzztime "$${NFO_FUZZ:-10m}" -fuzzminimizetime 2s

.PHONY: fuzz-layout
fuzz-layout: ## read image layouts of any index.json and manifest, for NFO_FUZZ (default 10m)
	$(GO) test ./internal/registry/oci -run '^$$' -fuzz '^FuzzLayout$$' -fuzzminimizetime 1x -fuzztime "$${NFO_FUZZ:-10m}"

.PHONY: soak
soak: cluster ## push, release, restore and purge, all at once, for NFO_SOAK (default 10m)
	NFO_SOAK=$(or $(NFO_SOAK),10m) $(GO) test ./test/integration -run '^TestSoak' -count=1 -v -timeout 24h

.PHONY: lies
lies: cluster ## test the operator with every kind of wrong answer to every kind of request to a registry (10 minutes)
	NFO_LIES=1 $(GO) test ./test/integration -run '^TestI2RegistriesThatLie$$' -count=1 -v -timeout 40m

.PHONY: hostile
hostile: cluster ## measure the manager and purges beside hostile registries, objects at every bound and a large store, for NFO_HOSTILE (default 10m) and 10 minutes more
	NFO_HOSTILE=$(or $(NFO_HOSTILE),10m) $(GO) test ./test/hostile -count=1 -v -timeout 60m

.PHONY: fuzz
fuzz: ## read charts of any template and values, for NFO_FUZZ (default 10m)
	@# The coverage of the parent process shows little of what the child did, so no time is spent on minimizing inputs.
	$(GO) test ./internal/chart -run '^$$' -fuzz '^FuzzReader$$' -fuzzminimizetime 1x -fuzztime $(or $(NFO_FUZZ),10m)

.PHONY: races
races: cluster ## 2,000 times create a pod while its image is deleted and purged (20 minutes)
	NFO_PUBLISHERS=8 NFO_ROUNDS=250 $(GO) test ./test/integration -count=1 -v -run TestI14NoImageOfAnAdmittedPodIsPurged -timeout 60m

.PHONY: mirror-races
mirror-races: cluster ## create, delete and roll back pods while the mirror is purged and collected, for NFO_RACE (default 5m)
	$(GO) test ./test/integration -count=1 -v -run TestR5NoAdmittedPodWaitsForItsImage -mirror.race $(or $(NFO_RACE),5m) -timeout 24h

.PHONY: hammer
hammer: ## push to and collect one registry from three processes that are killed, and lose nothing (30 minutes)
	NFO_HAMMER=5m $(GO) test ./internal/clusterregistry/storage -run Hammer -count=1 -v -timeout 60m

.PHONY: bench
bench: cluster bin/peers ## measure what purges, releases and the mirror cost, beside their peers (15 minutes)
	$(GO) test ./internal/chart -run '^$$' -bench . -benchtime 3x -timeout 5m
	$(GO) test ./internal/clusterregistry/serve -run '^$$' -bench . -benchtime 1x -timeout 10m
	$(GO) test ./internal/purge/plan -run '^$$' -bench Plan -benchtime 500ms -timeout 2m
	$(GO) test ./internal/controller -run '^$$' -bench Cache -benchtime 1x -timeout 5m
	@# NFO_MIRROR_MIB: size of each of the mirror's ten large images in MiB, by default 32. 1024 needs 11 GiB of disk.
	$(GO) test ./test/bench -run '^$$' -bench . -benchtime 1x -timeout 20m

bin/peers: tools/peers/go.mod tools/peers/go.sum
	$(GO) build -C tools/peers -ldflags '-s -w' -o $(CURDIR)/$@/ tool
	@touch $@

.PHONY: cluster
cluster: ## build the test cluster's binaries (the first time takes 15 minutes)
	@$(GO) run -C test/cluster . build

.PHONY: node-cluster
node-cluster: ## build the node's binaries too (the first time takes 17 minutes)
	@$(GO) run -C test/cluster . build --node


.PHONY: bin/demo
bin/demo:
	@$(GO) build -o $@ ./test/demo

.PHONY: bin/quickstart
bin/quickstart:
	@$(GO) build -o $@ ./test/quickstart

.PHONY: quickstart
quickstart: bin/quickstart ## run the commands of docs/quickstart.md, on a new cluster of kind
	bin/quickstart docs/quickstart.md | bash

.PHONY: up
up: build cluster bin/demo ## start a cluster, a registry and the operator in the background
	@bin/demo up

.PHONY: demo
demo: build cluster bin/demo ## show the life of one manifest, from upload to purge
	@bin/demo run

.PHONY: down
down: bin/demo ## end what `make up` started
	@bin/demo down


.PHONY: image
image: ## write the image for amd64 and arm64 to bin/image/nfo.tar, without a container engine
	@$(foreach a,$(ARCHITECTURES),GOOS=linux GOARCH=$(a) $(BUILD) -o bin/image/linux-$(a)/nfo ./cmd/nfo;)
	@$(IMAGE_TOOL) roots $(ROOTS)
	@chmod 755 bin/image/linux-*/nfo; chmod 644 $(ROOTS) # with any umask the same modes, which the Dockerfile copies
	@$(IMAGE_TOOL) build --name '$(IMAGE)' --version '$(VERSION)' --revision '$(REVISION)' --epoch '$(SOURCE_DATE_EPOCH)' \
	  --roots $(ROOTS) $(if $(TAGS),--limit 80) --output $(ARCHIVE) $(foreach a,$(ARCHITECTURES),linux/$(a)='$(CURDIR)/bin/image/linux-$(a)/nfo')

.PHONY: push
push: ## push the image to IMAGE=<registry>/<repository>:<tag>, and print its digest
	@[[ '$(origin IMAGE)' != file ]] || { echo 'make push needs IMAGE=<registry>/<repository>:<tag>' >&2; exit 1; }
	@$(MAKE) --no-print-directory image
	@$(IMAGE_TOOL) push $(ARCHIVE) '$(IMAGE)'

.PHONY: image-check
image-check: ## build the Dockerfile with buildah, as root, and compare it with the image
	@command -v buildah >/dev/null || { echo 'make image-check needs buildah: apt-get install buildah' >&2; exit 1; }
	@$(MAKE) --no-print-directory image
	rm -rf bin/image/buildah
	$(BUILDAH) bud --isolation chroot --identity-label=false --platform linux/amd64,linux/arm64 \
	  --build-arg VERSION='$(VERSION)' --build-arg REVISION='$(REVISION)' --manifest nfo .
	$(BUILDAH) manifest push --quiet --all nfo oci:'$(CURDIR)/bin/image/buildah/layout'
	@$(IMAGE_TOOL) compare $(ARCHIVE) '$(CURDIR)/bin/image/buildah/layout'

.PHONY: dist
dist: $(HELM) ## make the files of a release in dist, the same bytes from the same commit; SIGNING_KEY=<file> signs them
	rm -rf '$(DIST)'
	mkdir -p '$(DIST)' bin/dist
	version=$$($(DIST_TOOL) version --version '$(VERSION)' --chart '$(CURDIR)/charts/nfo') && \
	image=$$($(MAKE) --no-print-directory image IMAGE="$(DIST_REPOSITORY):$$version" | tail -1) && echo "$$image" && \
	cp bin/image/nfo.tar "$(DIST)/nfo-$$version-image.tar" && \
	chart=$$($(DIST_TOOL) chart --version '$(VERSION)' --epoch '$(SOURCE_DATE_EPOCH)' --chart '$(CURDIR)/charts/nfo' --out '$(DIST)') && \
	{ printf -- '---\napiVersion: v1\nkind: Namespace\nmetadata: {name: nfo-system}\n'; \
	  $(HELM) template nfo "$$chart" --namespace nfo-system --no-hooks --set "image.repository=$(DIST_REPOSITORY),image.digest=$${image#*@}"; } > '$(DIST)/install.yaml' && \
	cat config/crd/nfo.dev_*.yaml > '$(DIST)/crds.yaml' && \
	$(foreach p,$(PLATFORMS),GOOS=$(word 1,$(subst /, ,$p)) GOARCH=$(word 2,$(subst /, ,$p)) $(BUILD) -o 'bin/dist/$p/kubectl-nfo' ./cmd/kubectl-nfo && ) \
	$(DIST_TOOL) release --version "$$version" --epoch '$(SOURCE_DATE_EPOCH)' --out '$(DIST)' --downloads '$(DOWNLOADS)' --license '$(CURDIR)/LICENSE' \
	  --image "nfo-$$version-image.tar" $(foreach a,$(ARCHITECTURES),--program '$(CURDIR)/bin/image/linux-$(a)/nfo') \
	  $(foreach p,$(PLATFORMS),--plugin '$p=$(CURDIR)/bin/dist/$p/kubectl-nfo')
	$(if $(SIGNING_KEY),$(DIST_TOOL) sign --out '$(DIST)' --key '$(abspath $(SIGNING_KEY))')

.PHONY: dist-check
dist-check: ## make the files of a release twice, one time under another umask and time zone, and compare them
	$(MAKE) --no-print-directory dist SIGNING_KEY= DIST='$(CURDIR)/bin/dist-first'
	umask 077 && TZ=Asia/Tokyo $(MAKE) --no-print-directory dist SIGNING_KEY= DIST='$(CURDIR)/bin/dist-second'
	diff -r bin/dist-first bin/dist-second
	cd bin/dist-first && sha256sum --check --quiet SHA256SUMS
	rm -rf bin/dist-first bin/dist-second

.PHONY: clean
clean: ## remove everything built, but not Go's caches
	rm -rf bin dist test/cluster/bin
