#!/bin/sh
# bare.sh SUITE [TARGET...]: runs make's targets (demo test) in a bare Debian of that release (bookworm, trixie, forky),
# which has nothing installed but what the README names and sees nothing of this machine's but its network.
#
# Needs root and debootstrap. The system is made once in build/bare/SUITE, and the last commit is cloned into it each
# time. MIRROR names another mirror of Debian than debootstrap's own. Ends with the status of the first target that failed.
set -eu
suite=$1
shift
[ $# -gt 0 ] || set -- demo test
checkout=$(cd "$(dirname "$0")/../.." && pwd)
root=$checkout/build/bare/$suite

if [ "$(id -u)" != 0 ]; then
    echo "bare.sh needs root, to make and enter another system: sudo make test-bare" >&2
    exit 1
fi
if ! command -v debootstrap >/dev/null; then
    echo "debootstrap is missing: apt-get install debootstrap" >&2
    exit 1
fi
if [ ! -e "$root/made" ]; then
    rm -rf "$root" "$root.part"
    mkdir -p "${root%/*}"
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,make,git \
        "$suite" "$root.part" "${MIRROR:-}" "$script"
    touch "$root.part/made"
    mv "$root.part" "$root"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
# A network may have certificates of its own.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
rm -rf "$root/root/edgefeat"
git clone --quiet "$checkout" "$root/root/edgefeat"

leave() {
    for mount in dev/shm dev/pts dev sys proc; do
        umount "$root/$mount" 2>/dev/null || true
    done
}
trap leave EXIT
trap 'exit 130' INT TERM
for mount in proc sys dev dev/pts dev/shm; do
    mkdir -p "$root/$mount"
    mount --bind "/$mount" "$root/$mount"
done
for target in "$@"; do
    echo "== bare $suite: make $target"
    env -u PYTHONPATH -u VIRTUAL_ENV -u KERAS_HOME -u EDGEFEAT_TEST_DATA HOME=/root LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$root" sh -c "cd /root/edgefeat && make $target"
done
