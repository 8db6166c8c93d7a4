# An engine in a container: docs/guides/container.md says how to run it.
#
#     docker build -t deltaic .

FROM rust:1.95-slim-trixie AS build
WORKDIR /deltaic
COPY Cargo.toml Cargo.lock ./
COPY dataflows dataflows
COPY src src
# Cargo wants to see every target that Cargo.toml names, also those that it does not build.
COPY benches benches
COPY examples examples
COPY tests tests
RUN cargo build --release --locked --features s3 --bin deltaic

FROM debian:trixie-slim
# Certificates for calls to destinations and to S3-compatible storage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data deltaic \
    && install --directory --owner deltaic --mode 0700 /data
COPY --from=build /deltaic/target/release/deltaic /usr/local/bin/deltaic
USER deltaic
VOLUME /data
EXPOSE 8080
# It finishes what it took and delivers, for 10 s each.
STOPSIGNAL SIGTERM
ENTRYPOINT ["deltaic"]
CMD ["run", "/project", "--data", "/data", "--listen", "0.0.0.0:8080"]
