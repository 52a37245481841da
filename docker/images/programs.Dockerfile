# Programs, page, models and pipelines as `make install` lays them, for the images to take from.
# The base images are Docker Hub's; where that is not reached, scripts/base-images.sh makes their likes.
FROM docker.io/library/node:22-trixie-slim AS page
WORKDIR /sightline
COPY ui ui
RUN npm --prefix ui ci --no-audit --no-fund && npm --prefix ui run build

FROM docker.io/library/rust:1-slim-trixie AS programs
RUN apt-get update && apt-get install -y --no-install-recommends \
    ca-certificates libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev \
    make pkg-config python3 python3-venv
WORKDIR /sightline
COPY . .
COPY --from=page /sightline/ui/dist ui/dist
RUN cargo build --release --locked -p signaling -p pipeline-launcher --features pipeline-launcher/v1_24,pipeline-launcher/rs
RUN scripts/onnxruntime.sh && DESTDIR=/out scripts/payload.sh

FROM scratch
COPY --from=programs /out /
