# What a board is and what edgefeat it has: one fact a line, name and value separated by a tab.
# `edgefeat deploy` sends this to `sh -s`: what it runs must not read standard input.
LC_ALL=C
export LC_ALL
root=$HOME/.local/share/edgefeat
fact() { printf '%s\t%s\n' "$1" "$2"; }

echo 'edgefeat-probe 1'
fact kernel "$(uname -s)"
fact root "$root"
# The first Python that edgefeat runs with; one that is too old is told as well, unless a later one will do.
for python in python3 python3.14 python3.13 python3.12 python3.11; do
    command -v "$python" >/dev/null 2>&1 || continue
    "$python" - <<'PYTHON' && break
import os, platform, struct, sys
machine, bits = platform.machine(), struct.calcsize("P") * 8
if bits == 32 and machine in ("aarch64", "armv8l"):
    machine = "armv7l"
try:
    glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "0").replace("glibc ", "")
except (AttributeError, ValueError):
    glibc = "0"
facts = [("python", "%d.%d" % sys.version_info[:2]), ("bits", bits), ("machine", machine), ("glibc", glibc)]
print("\n".join("%s\t%s" % fact for fact in facts))
sys.exit(sys.version_info < (3, 11))
PYTHON
done
if [ -r /proc/device-tree/model ]; then
    fact board "$(tr -d '\000\n\t' </proc/device-tree/model)"
fi
if [ -r /etc/os-release ]; then
    # shellcheck source=/dev/null
    fact system "$(. /etc/os-release && printf '%s' "$PRETTY_NAME")"
fi
[ -L "$root/current" ] && fact current "$(basename "$(readlink "$root/current")")"
# After an upgrade of the system, the Python of its environment may be gone.
if [ -r "$root/activated" ] && "$root/current/venv/bin/python" -c 'import edgefeat' </dev/null >/dev/null 2>&1; then
    fact activated "$(cat "$root/activated")"
fi
for release in "$root"/releases/*; do
    [ -e "$release/complete" ] || continue
    fact release "$(basename "$release")"
    # What is there is not copied again. The installer checks each file's content before it takes it.
    while read -r hash _; do fact have "$hash"; done <"$release/pack/SHA256SUMS"
done
# A copy that was interrupted: its whole files are kept.
for folder in "$root"/incoming/*; do
    [ -d "$folder" ] || continue
    (cd "$folder" && find . -type f -exec sha256sum {} +) | while read -r hash _; do fact have "$hash"; done
done
for name in verify tune bench; do
    [ -r "$root/current/$name.json" ] && fact "$name" "$(cat "$root/current/$name.json")"
done
if [ -L "$root/current" ]; then
    [ -n "${XDG_RUNTIME_DIR:-}" ] || XDG_RUNTIME_DIR=/run/user/$(id -u)
    export XDG_RUNTIME_DIR
    while IFS= read -r line; do fact wanted "$line"; done 2>/dev/null <"$root/current/services/commands"
    for unit in "$root"/current/services/*.service; do
        [ -e "$unit" ] || continue
        name=$(basename "$unit" .service)
        fact service "$name $(systemctl --user is-active "$name" 2>/dev/null </dev/null || true)"
        journalctl --user -u "$name" -n 5 -o cat --no-pager 2>/dev/null </dev/null |
            while IFS= read -r line; do fact journal "$name $line"; done
    done
fi
exit 0
