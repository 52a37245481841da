# Signaling with its page, and nothing else: no shell, no package manager.
ARG PROGRAMS=localhost/sightline-programs
FROM ${PROGRAMS} AS programs

FROM docker.io/library/debian:13-slim AS files
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libgcc-s1 python3
COPY --from=programs /usr/bin/signaling /usr/bin/
COPY --from=programs /usr/share /usr/share
COPY docker/images/collect.sh docker/images/signaling.list scripts/third_party.py /build/
RUN /build/collect.sh /build/signaling.list /image \
    && /build/third_party.py add-debian /usr/share/sbom/signaling.cdx.json /image/usr/share/sbom/debian.tsv \
        > /image/usr/share/sbom/sightline.cdx.json

FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Sightline signaling" \
    org.opencontainers.image.description="Web page, WebSocket, WHIP, WHEP and REST of Sightline" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=files /image /
# A container's own address is behind the ports that are published.
ENV SIGHTLINE_BIND=0.0.0.0 SIGHTLINE_UI_DIR=/usr/share/sightline/ui PATH=/usr/bin
USER 65532:65532
WORKDIR /tmp
EXPOSE 9000/tcp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["signaling", "healthcheck"]
ENTRYPOINT ["signaling"]
