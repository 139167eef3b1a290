#!/bin/sh
# Installs the pack that lies in this folder, beside what is running; checks it here; and only then switches over.
#
#   sh install.sh [--measure]    install, or update; --measure also finds the fastest engine and times it
#   sh install.sh --rollback     go back to what ran before
#   sh install.sh --remove       remove edgefeat and its services; photos and databases stay
#
# Everything is below ~/.local/share/edgefeat: a folder in `releases` for each pack; one in `environments` for each set
# of Python packages, which releases share; and `current`, a link to the release that runs. The link is replaced in one
# step, so an interruption leaves the old or the new one. No root is needed.
set -eu
umask 022
LC_ALL=C
export LC_ALL
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_DRY_RUN

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
root=$HOME/.local/share/edgefeat
units=$HOME/.config/systemd/user
command_link=$HOME/.local/bin/edgefeat
release=
environment=
watcher=

say() { printf 'edgefeat: %s\n' "$*"; }
fail() {
    printf 'edgefeat: %s\n' "$*" >&2
    exit 1
}

end() {
    status=$?
    trap '' TERM INT HUP PIPE
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
    for folder in "$release" "$environment"; do
        if [ -n "$folder" ] && [ ! -e "$folder/complete" ]; then
            rm -rf "$folder"
        fi
    done
    exit "$status"
}

main() {
    measure=
    action=install
    attached=
    for argument in "$@"; do
        case $argument in
        --measure) measure=1 ;;
        --rollback | --remove) action=${argument#--} ;;
        --attached) attached=1 ;;
        *) fail "$argument is unknown (allowed: --measure, --rollback, --remove)" ;;
        esac
    done
    trap end EXIT
    trap 'exit 143' TERM INT HUP PIPE
    # The other end of the connection holds standard input open. When it is gone, so is the wish.
    if [ -n "$attached" ]; then
        exec 3<&0
        (cat <&3 >/dev/null 2>&1; kill -TERM 0) &
        watcher=$!
        exec 3<&-
    fi
    exec </dev/null
    mkdir -p "$root/releases"
    exec 9>"$root/lock"
    if command -v flock >/dev/null 2>&1 && ! flock -w 20 9; then
        fail "another installation is at work here: wait for it, or end it, and try again"
    fi
    "$action"
}

# --- install -------------------------------------------------------------------------------------------------------

install() {
    # shellcheck source=/dev/null
    . "$here/pack.env"
    # pack.env sets all of these.
    : "${pack_id:?}" "${pack_bundle:?}" "${pack_wheel:?}" "${pack_extras:?}" "${pack_pip:?}" "${pack_machine:?}"
    : "${pack_environment:?}" "${pack_disk:?}" "${pack_disk_alone:?}" "${pack_services:?}"
    : "${pack_service_extras=}" "${pack_python=}" "${pack_glibc=}" "${pack_modules=}" "${pack_offline=}"
    release=$root/releases/$pack_id
    if [ -e "$release/complete" ]; then
        say "$pack_bundle is installed already"
        "$release/venv/bin/python" -c 'import edgefeat' 2>/dev/null || renew_environment
    else
        check
        build
    fi
    old=$(current)
    switch "$pack_id"
    if ! activate; then
        if [ -n "$old" ] && [ "$old" != "$pack_id" ]; then
            switch "$old"
            activate || true
            # Nobody should come back to it by --rollback.
            rm -f "$root/releases/$pack_id/complete"
            rm -rf "$root/releases/$pack_id"
            fail "its service does not run (see above): $old runs again"
        fi
        fail "its service does not run (see above); the commands work"
    fi
    tidy "$old"
    say "$pack_bundle runs here: $root/current"
}

check() {
    say "checking this system"
    [ "$(uname -s)" = Linux ] || fail "this system is $(uname -s) (needed: Linux)"
    python=$(newest_python) || fail "there is no Python: sudo apt install python3"
    if [ -e "$root/environments/$pack_environment-$pack_extras/complete" ]; then
        pack_disk=$pack_disk_alone
    fi
    reason=$("$python" "$here/check.py" "machine=$pack_machine" "python=$pack_python" "glibc=$pack_glibc" \
        "modules=$pack_modules" "disk=$pack_disk" "folder=$root") || fail "${reason:-$python does not run}"
    if [ "$pack_services" = replace ] && [ -d "$here/services" ]; then
        has_systemd || fail "a service needs systemd for users, which does not run here: deploy without --service"
    fi
}

# Prints the first Python that edgefeat runs with, or else the first there is, which `check.py` then refuses.
newest_python() {
    first=
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        command -v "$name" >/dev/null 2>&1 || continue
        first=${first:-$name}
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    [ -n "$first" ] && echo "$first"
}

# Makes the environment of an installed release again: the system was upgraded, and has another Python now.
renew_environment() {
    check
    environment=$(readlink "$release/venv")
    pack_extras=${environment##*-}
    rm "$release/venv"
    make_environment
}

build() {
    rm -rf "$release"
    mkdir -p "$release/pack" "$release/tmp" || fail "$root cannot be written"
    # /tmp may be in memory, of which a board has little.
    TMPDIR=$release/tmp
    export TMPDIR
    collect || fail "$(free_space)"
    choose_services
    make_environment
    ln -s pack/bundle "$release/bundle"
    verify
    [ -z "$measure" ] || measure
    # On the disk before the link to it is, or a power cut between the two would leave nothing that runs.
    rm -rf "$release/tmp"
    to_disk
    : >"$release/complete"
}

# Takes each file of the pack from this folder or, if it was left out, from a release that has the same.
collect() {
    while read -r hash name; do
        mkdir -p "$(dirname "$release/pack/$name")" || return 1
        take "$hash" "$name" || return 1
    done <"$here/SHA256SUMS"
    cp "$here/SHA256SUMS" "$release/pack/SHA256SUMS" || return 1
    (cd "$release/pack" && sha256sum --status -c SHA256SUMS) || fail "the pack was damaged on its way: copy it again"
}

take() {
    if [ -e "$here/$2" ]; then
        copy "$here/$2" "$release/pack/$2"
        return
    fi
    for folder in "$root"/incoming/* "$root"/releases/*/pack; do
        if [ "$folder" = "$release/pack" ] || [ ! -d "$folder" ]; then continue; fi
        found=$(same_file "$folder" "$1") || continue
        copy "$found" "$release/pack/$2"
        return
    done
    fail "the pack has no $2: copy it again"
}

# Prints the file in the folder $1 whose content has the hash $2.
same_file() {
    sums=$1/SHA256SUMS
    if [ -r "$sums" ]; then
        known=$(grep "^$2 " "$sums" | head -n 1) || return 1
        candidate=$1/${known#*  }
        [ -e "$candidate" ] && [ "$(sum_of "$candidate")" = "$2" ] && echo "$candidate"
        return
    fi
    find "$1" -type f | while IFS= read -r candidate; do
        if [ "$(sum_of "$candidate")" = "$2" ]; then
            echo "$candidate"
            break
        fi
    done | grep .
}

sum_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# A link costs no space; a folder that a user unpacked may be changed later, so that is copied.
copy() {
    case $1 in
    "$root"/*) ln "$1" "$2" 2>/dev/null || cp "$1" "$2" 2>/dev/null ;;
    *) cp "$1" "$2" 2>/dev/null ;;
    esac
}

# Makes the environment, or takes the one that another release has of the same packages.
make_environment() {
    environment=$root/environments/$pack_environment-$pack_extras
    ln -s "../../environments/$pack_environment-$pack_extras" "$release/venv"
    # A system that was upgraded may have another Python now.
    if [ -e "$environment/complete" ] && "$environment/bin/python" -c 'import edgefeat' 2>/dev/null; then
        return
    fi
    say "installing edgefeat with $pack_extras"
    rm -rf "$environment"
    mkdir -p "$root/environments"
    shared=
    # python3-picamera2 comes from apt alone, and where no wheel of NumPy exists, so does NumPy.
    if [ -n "$pack_modules" ] ||
        "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("picamera2") is None)' 2>/dev/null; then
        shared=--system-site-packages
    fi
    # shellcheck disable=SC2086 # nothing, or one word
    "$python" -m venv --without-pip $shared "$environment" >"$release/log" 2>&1 ||
        fail "no environment can be made: $(tail -n 1 "$release/log")"
    # The index of this system's own settings, unless the pack has everything.
    if [ -n "$pack_offline" ]; then
        PIP_CONFIG_FILE=/dev/null
        export PIP_CONFIG_FILE
        unset PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_CONSTRAINT
        set -- --no-index --find-links "$release/pack/wheels"
    else
        set -- --retries 2
    fi
    "$environment/bin/python" "$release/pack/wheels/$pack_pip/pip" install "$@" --quiet --no-input --no-cache-dir \
        --disable-pip-version-check --only-binary=:all: --no-warn-script-location \
        "$release/pack/${pack_wheel}[$pack_extras]" >"$release/log" 2>&1 || fail "$(why_pip_failed)"
    to_disk
    : >"$environment/complete"
}

why_pip_failed() {
    if grep -q 'No space left' "$release/log"; then
        free_space
    elif grep -q -e 'NewConnectionError' -e 'ConnectTimeout' -e 'Could not fetch URL' -e 'name resolution' "$release/log"
    then
        echo "pip cannot reach the package index from here: pack or deploy with --offline"
    else
        # Its last error says what to do; the lines before say what else it tried.
        echo "pip cannot install it: $(grep '^ERROR' "$release/log" | tail -n 1 | grep . || tail -n 1 "$release/log")"
    fi
}

free_space() { echo "the disk is full or cannot be written: $(df -Pk "$root" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) kB are free at $root"; }

choose_services() {
    if [ "$pack_services" = replace ]; then
        [ ! -d "$release/pack/services" ] || cp -r "$release/pack/services" "$release/services"
    elif [ -d "$root/current/services" ]; then
        cp -r "$root/current/services" "$release/services"
        for extra in $pack_service_extras; do
            [ ! -e "$release/services/edgefeat-$extra.service" ] || pack_extras=$pack_extras,$extra
        done
    fi
}

# What a command of the release said last, without the line that names a page.
last_words() { grep -v '^  see ' "$release/log" | tail -n 1; }

verify() {
    say "comparing features with Keras"
    run verify bundle --json >"$release/verify.json" 2>"$release/log" && return
    reason=$("$release/venv/bin/python" - "$release/verify.json" 2>/dev/null <<'PYTHON'
import json, sys
with open(sys.argv[1]) as stream:
    bad = [check for check in json.load(stream)["checks"] if check["status"] != "ok"]
print("%s on %s: %s" % (bad[0]["variant"], bad[0]["engine"], bad[0]["detail"] or bad[0]["status"]))
PYTHON
    ) || reason=$(last_words)
    fail "verify failed on this board, so nothing was changed: ${reason#edgefeat: }"
}

# A board that cannot be measured still gives right features.
measure() {
    say "finding the fastest engine"
    run tune bundle --photos pack/photos --json >"$release/tune.json" 2>"$release/log" || unmeasured tune
    say "measuring"
    run bench bundle pack/photos --seconds 5 --json >"$release/bench.json" 2>"$release/log" || unmeasured bench
}

unmeasured() {
    say "$1 failed: $(last_words)"
    rm -f "$release/$1.json"
}

# Runs a command of the new release in its folder, so that `bundle` needs no path.
run() { (cd "$release" && exec venv/bin/python -m edgefeat "$@"); }

# --- the switch-over -----------------------------------------------------------------------------------------------

current() {
    if [ -L "$root/current" ]; then
        basename "$(readlink "$root/current")"
    fi
}

to_disk() { sync -f "$root" 2>/dev/null || sync; }

# Makes the release $1 the one that runs, in one step.
switch() {
    [ "$(current)" = "$1" ] && return
    rm -f "$root/current.new"
    ln -s "releases/$1" "$root/current.new"
    "$root/releases/$1/venv/bin/python" -c 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' \
        "$root/current.new" "$root/current"
    to_disk
}

# Makes the system follow `current`: the command in the user's path, and the services. It may be repeated.
activate() {
    mkdir -p "$(dirname "$command_link")" || return 1
    if [ -L "$command_link" ] || [ ! -e "$command_link" ]; then
        ln -sfn "$root/current/venv/bin/edgefeat" "$command_link" || return 1
    else
        say "$command_link is not ours and stays: the new command is $root/current/venv/bin/edgefeat"
    fi
    stop_others || return 1
    for unit in "$root"/current/services/*.service; do
        [ -e "$unit" ] || continue
        start "$(basename "$unit")" || return 1
    done
    current >"$root/activated"
}

# Services whose unit is not in the current release.
stop_others() {
    for link in "$units"/edgefeat-*.service; do
        if [ -L "$link" ] && [ ! -e "$link" ]; then
            forget "$(basename "$link")"
        fi
    done
}

forget() {
    say "removing the service $1"
    if has_systemd; then
        systemctl --user stop "$1" 2>/dev/null || true
    fi
    rm -f "$units/$1" "$units/default.target.wants/$1"
    if has_systemd; then
        systemctl --user daemon-reload || true
    fi
}

start() {
    has_systemd || fail "the service $1 needs systemd for users, which does not run here"
    say "starting the service $1"
    mkdir -p "$units/default.target.wants" || return 1
    # Links: the unit, too, changes with `current`.
    ln -sfn "$root/current/services/$1" "$units/$1"
    ln -sfn "../$1" "$units/default.target.wants/$1"
    systemctl --user daemon-reload || return 1
    systemctl --user reset-failed "$1" 2>/dev/null || true
    if ! systemctl --user restart "$1" || ! systemctl --user --quiet is-active "$1"; then
        journalctl --user -u "$1" -n 10 -o cat --no-pager 2>/dev/null | while IFS= read -r line; do say "$line"; done
        return 1
    fi
    linger
}

# Without this, a user's services end with the user's last session and do not start at boot.
linger() {
    user=$(id -un)
    [ "$(loginctl show-user "$user" -p Linger 2>/dev/null)" = Linger=yes ] && return
    loginctl enable-linger "$user" 2>/dev/null || sudo -n loginctl enable-linger "$user" 2>/dev/null ||
        say "the service starts at boot only after: sudo loginctl enable-linger $user"
}

has_systemd() {
    [ -n "${XDG_RUNTIME_DIR:-}" ] || XDG_RUNTIME_DIR=/run/user/$(id -u)
    export XDG_RUNTIME_DIR
    command -v systemctl >/dev/null 2>&1 && systemctl --user show-environment >/dev/null 2>&1
}

# Removes what neither runs nor ran before, and the copies that were unpacked.
tidy() {
    keep=$1
    [ -n "$keep" ] && [ "$keep" != "$(current)" ] || keep=$(other)
    for folder in "$root"/releases/*; do
        case $(basename "$folder") in
        "$(current)" | "$keep") ;;
        *) rm -rf "$folder" ;;
        esac
    done
    for folder in "$root"/environments/*; do
        used=
        for link in "$root"/releases/*/venv; do
            [ "$(basename "$(readlink "$link")")" != "$(basename "$folder")" ] || used=1
        done
        [ -n "$used" ] || rm -rf "$folder"
    done
    rm -rf "$root/incoming"
}

# Prints the release to go back to: the newest complete one that is not running.
other() {
    # shellcheck disable=SC2012 # releases have names of hex digits
    ls -t "$root"/releases/*/complete 2>/dev/null | while IFS= read -r path; do
        name=$(basename "$(dirname "$path")")
        if [ "$name" != "$(current)" ]; then
            echo "$name"
            break
        fi
    done
}

rollback() {
    back=$(other)
    [ -n "$back" ] || fail "there is nothing to go back to on this board"
    old=$(current)
    switch "$back"
    if ! activate; then
        switch "$old"
        activate || true
        fail "the service of $back does not run (see above): $old runs again"
    fi
    say "$back runs again"
}

remove() {
    for link in "$units"/edgefeat-*.service; do
        [ -L "$link" ] || continue
        case $(readlink "$link") in
        "$root"/*) forget "$(basename "$link")" ;;
        esac
    done
    if [ -L "$command_link" ]; then
        case $(readlink "$command_link") in
        "$root"/*) rm -f "$command_link" ;;
        esac
    fi
    # The link first: what is half removed must not look as if it ran.
    rm -f "$root/current" "$root/activated"
    rm -rf "$root"
    say "edgefeat is removed; photos and databases stay"
}

main "$@"
