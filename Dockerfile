# The image is the static binary, the public CAs and nothing else: no shell, no packages.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
ARG GOPROXY
RUN go mod download
COPY api api
COPY internal internal
COPY cmd cmd
ARG VERSION=dev
# timetzdata: schedules name time zones.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags timetzdata \
    -ldflags "-s -w -X main.version=$VERSION" -o /nfo ./cmd/nfo

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="nfo" \
      org.opencontainers.image.description="Kubernetes operator that keeps what is used in an OCI registry and cleans up the rest" \
      org.opencontainers.image.source="https://github.com/nfo-operator/nfo" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /nfo /nfo
USER 65532:65532
ENTRYPOINT ["/nfo"]
