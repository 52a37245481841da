# The launcher's image with ONNX Runtime for NVIDIA's GPUs and the CUDA libraries that it needs, from NVIDIA's own packages
# on PyPI. The host has the driver and the NVIDIA Container Toolkit. Not run with a GPU yet: none was at hand.
ARG LAUNCHER=localhost/sightline-launcher
FROM docker.io/library/debian:13-slim AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-pip
# Comes out later than the one for processors.
ARG ONNXRUNTIME_GPU_VERSION=1.31.1
RUN pip install --break-system-packages --no-cache-dir --target /packages "onnxruntime-gpu[cuda,cudnn]==${ONNXRUNTIME_GPU_VERSION}" \
    && mkdir -p /libraries \
    && mv /packages/onnxruntime/capi/libonnxruntime.so.* /libraries/libonnxruntime.so \
    && mv /packages/onnxruntime/capi/libonnxruntime_providers_*.so /packages/nvidia/*/lib/*.so* /libraries/ \
    && rm -r /packages

FROM ${LAUNCHER}
LABEL org.opencontainers.image.title="Sightline pipeline-launcher for NVIDIA GPUs"
COPY --from=cuda /libraries /usr/lib/sightline
ENV LD_LIBRARY_PATH=/usr/lib/sightline \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_VISIBLE_DEVICES=all
