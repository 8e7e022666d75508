# syntax=docker/dockerfile:1
# The binary in an image without a shell. Build: docker build -t memorybank .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml clippy.toml ./
COPY benches benches
COPY src src
COPY migrations migrations
RUN cargo build --release --locked --bin memorybank

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/memorybank /usr/local/bin/memorybank
# The bank's files often belong to root (OpenMemory runs as root): run with `user: "0"` and read-only
# mounts, as compose.yaml shows, where uid 65532 may not read them.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/memorybank"]
