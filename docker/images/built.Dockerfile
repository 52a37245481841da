# The same as programs.Dockerfile makes, from what scripts/payload.sh laid into this context.
FROM scratch
COPY . /
