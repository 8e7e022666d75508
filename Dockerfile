# syntax=docker/dockerfile:1
# The binary in an image without a shell, run as 65532. Build:
#   docker build -t memorybank --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
# The list of what was linked in is part of the binary (`cargo audit bin`, syft, trivy and grype read it);
# `docker buildx build --sbom=true --provenance=true` attaches an SBOM of the image too.
ARG RUST=rust:1.95-bookworm
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST} AS build
WORKDIR /src
RUN cargo install cargo-auditable --version 0.7.7 --locked --root /tools
ENV PATH=/tools/bin:$PATH
# The dependencies are a layer of their own, built against an empty program: it lasts until Cargo.lock changes.
# Cargo.toml names the benchmarks, so their files must be there.
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY benches benches
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
    && cargo auditable build --release --locked --bin memorybank
COPY migrations migrations
COPY src src
# Times of files decide what cargo builds again, and a checkout may be older than the layer above.
RUN touch src/main.rs src/lib.rs && cargo auditable build --release --locked --bin memorybank

FROM ${RUNTIME}
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="memorybank" \
      org.opencontainers.image.description="Guardian for AI-memory stores" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build --chown=0:0 --chmod=0555 /src/target/release/memorybank /usr/local/bin/memorybank
# Nothing is written but what is mounted: run it with a read-only root. The bank's files often belong to root
# (OpenMemory runs as root): run with `user: "0"` and read-only mounts, as compose.yaml shows, where 65532 may not
# read them.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/memorybank"]
