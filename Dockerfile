# The image that `make image` writes, for builds with docker or buildah. Run `make image` first, because
# this file copies its binaries and certificates. `make image-check` checks that both images are the same.
FROM scratch
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nfo" \
      org.opencontainers.image.description="Kubernetes operator that keeps what is used in an OCI registry and cleans up the rest" \
      org.opencontainers.image.source="https://github.com/nfo-operator/nfo" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY bin/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY bin/image/linux-$TARGETARCH/nfo /nfo
USER 65532:65532
ENTRYPOINT ["/nfo"]
