#!/bin/sh
# Makes the secrets that compose.yaml mounts as files; those that are there stay. A REDIS_PASSWORD in the environment becomes
# the one of Redis: all hosts need the same. token.key makes tokens, token.pub reads them (as `signaling keys` makes both).
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in redis_password turn_secret grafana_password; do
    [ ! -s "secrets/$name" ] || continue
    if [ "$name" = redis_password ] && [ -n "${REDIS_PASSWORD:-}" ]; then
        printf %s "$REDIS_PASSWORD" > "secrets/$name"
    else
        head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "secrets/$name"
    fi
done
[ -s secrets/token.key ] || openssl genpkey -algorithm ed25519 -out secrets/token.key
openssl pkey -in secrets/token.key -pubout -out secrets/token.pub
# Containers read them as users of their own; the folder keeps others out.
chmod 444 secrets/*
