# The launcher's image with ONNX Runtime for NVIDIA's GPUs and the CUDA libraries that it needs, from NVIDIA's own packages
# on PyPI. The host has the driver and the NVIDIA Container Toolkit. Prepared, and not run yet: no GPU was at hand.
ARG LAUNCHER=localhost/sightline-launcher
FROM docker.io/library/debian:13-slim AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-pip
ARG ONNXRUNTIME_VERSION
RUN pip install --break-system-packages --no-cache-dir --target /packages "onnxruntime-gpu[cuda,cudnn]==${ONNXRUNTIME_VERSION}" \
    && mkdir -p /libraries \
    && cp /packages/onnxruntime/capi/libonnxruntime.so.* /libraries/libonnxruntime.so \
    && cp /packages/onnxruntime/capi/libonnxruntime_providers_*.so /packages/nvidia/*/lib/*.so* /libraries/

FROM ${LAUNCHER}
LABEL org.opencontainers.image.title="Sightline pipeline-launcher for NVIDIA GPUs"
COPY --from=cuda /libraries /usr/lib/sightline
ENV LD_LIBRARY_PATH=/usr/lib/sightline \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_VISIBLE_DEVICES=all
