# pipeline-launcher with what its pipelines need of GStreamer, and ONNX Runtime for processors: sessions, and workers.
ARG PROGRAMS=localhost/sightline-programs
FROM ${PROGRAMS} AS programs

FROM docker.io/library/debian:13-slim AS files
RUN apt-get update && apt-get install -y --no-install-recommends \
    ca-certificates glib-networking gstreamer1.0-libav gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-base \
    gstreamer1.0-plugins-good libsoup-3.0-0 python3
COPY --from=programs /usr/bin/pipeline-launcher /usr/bin/
COPY --from=programs /usr/lib /usr/lib
COPY --from=programs /usr/share /usr/share
COPY docker/images/collect.sh docker/images/launcher.list scripts/third_party.py /build/
RUN /build/collect.sh /build/launcher.list /image \
    && /build/third_party.py add-debian /usr/share/sbom/pipeline-launcher.cdx.json /image/usr/share/sbom/debian.tsv \
        > /image/usr/share/sbom/sightline.cdx.json

FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Sightline pipeline-launcher" \
    org.opencontainers.image.description="Sessions and inference workers of Sightline" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=files /image /
# The list of GStreamer's elements is made once, below: the image cannot be written to when it runs.
ENV GST_REGISTRY=/var/cache/sightline/gstreamer.registry GST_REGISTRY_UPDATE=no GST_REGISTRY_FORK=no HOME=/tmp \
    ORT_DYLIB_PATH=/usr/lib/sightline/libonnxruntime.so \
    SIGHTLINE_LAUNCHER_BIND=0.0.0.0 SIGHTLINE_LAUNCHER_PORT=9001 \
    SIGHTLINE_MODELS=/usr/share/sightline/models SIGHTLINE_PIPELINES=/usr/share/sightline/pipelines \
    PATH=/usr/bin
USER 65532:65532
WORKDIR /tmp
RUN ["pipeline-launcher", "check", "--deny-warnings", "/usr/share/sightline/pipelines"]
EXPOSE 9001/tcp 12000-12199/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["pipeline-launcher", "healthcheck"]
ENTRYPOINT ["pipeline-launcher"]
CMD ["serve"]
