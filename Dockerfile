# A registry in a container: docker build --tag gantry-registry .
# docs/operate.md says how it is run.

FROM rust:1.95-slim-trixie AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        build-essential pkg-config libssl-dev libclang1 libclang-common-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin gantry

# The same release of Debian, for its OpenSSL.
FROM debian:trixie-slim
# OpenSSL does the arithmetic of OpenPGP, the roots are for ACME, and curl is for the health check.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libssl3t64 ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin gantry \
    && install --directory --owner=gantry --group=gantry --mode=700 /var/lib/gantry-registry
COPY --from=build /source/target/release/gantry /usr/local/bin/gantry

USER 10001:10001
ENV GANTRY_DATA=/var/lib/gantry-registry
VOLUME /var/lib/gantry-registry
EXPOSE 8443
STOPSIGNAL SIGTERM
# It asks the registry itself, whose certificate is for other names.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["curl", "--silent", "--fail", "--insecure", "--output", "/dev/null", "https://127.0.0.1:8443/-/readyz"]
ENTRYPOINT ["gantry", "registry", "serve", "--listen", "0.0.0.0:8443"]
