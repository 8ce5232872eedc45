# syntax=docker/dockerfile:1
# patgate's image for those who build with Docker or BuildKit:
#
#   docker build -t patgate .
#
# `make image` builds the same program without an engine; docs/releasing.md says how the two differ.
# Both bases are pinned by tag. A release pins them by digest too
# (FROM name:tag@sha256:…, from `crane digest name:tag`): a tag can be moved, a digest can't.
FROM --platform=$BUILDPLATFORM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# .git comes along: the binary learns its commit and tag from it.
COPY . .
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOFLAGS= GOEXPERIMENT= GOWORK=off GOAMD64=v1 GOARM64=v8.0
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=true -ldflags="-s -w" -o /out/patgate ./cmd/patgate
# A context without .git would give an image whose content is unknown.
RUN go version -m /out/patgate | grep -q vcs.revision=
# The licenses of what is compiled in go with the binary.
RUN go -C image run . -licenses /out

FROM gcr.io/distroless/static-debian13:nonroot
LABEL org.opencontainers.image.title="patgate" \
      org.opencontainers.image.description="The gate for API tokens in front of any HTTP API: an external-authorization server for Envoy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/patgate/patgate" \
      org.opencontainers.image.url="https://github.com/patgate/patgate" \
      org.opencontainers.image.documentation="https://github.com/patgate/patgate#readme" \
      org.opencontainers.image.vendor="patgate"
COPY --from=build /out/licenses /licenses
COPY --from=build /out/patgate /patgate
USER 65532:65532
WORKDIR /
EXPOSE 9191/tcp 9192/tcp
ENTRYPOINT ["/patgate"]
