#!/bin/sh
# environment.sh PYTHON FOLDER [--candidate]: makes the developers' environment in FOLDER, with edgefeat[all] editable.
#
# TensorFlow has wheels for Python 3.11 to 3.13. For another PYTHON it gets a Python 3.13 with uv; where that cannot be
# downloaded and PYTHON is 3.14 or newer, it takes the release candidate of the next TensorFlow. Either is said.
# --candidate takes the release candidate in any case.
set -eu
python=$1
folder=$2
candidate=${3:-}
here=$(dirname "$0")
pip='-m pip install --quiet --disable-pip-version-check'

tell() {
    echo "edgefeat: $*" >&2
}

if ! version=$("$python" -c 'import sys; print("%d.%02d" % sys.version_info[:2])' 2>/dev/null); then
    tell "$python is not a Python that runs (allowed: 3.11 or newer): apt-get install python3 python3-venv, or make PYTHON=..."
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    tell "$python cannot make environments: apt-get install python3-venv"
    exit 1
fi

# uv, in an environment of its own beside the other one.
uv=$folder-uv/bin/uv
get_uv() {
    [ -x "$uv" ] && return
    "$python" -m venv "$folder-uv"
    "$folder-uv/bin/python" $pip 'uv>=0.5'
}

with_candidate() {
    get_uv
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
    "$folder/bin/python" $pip --upgrade 'pip>=25.1'
    # Packages that TensorFlow itself chooses are not held to the versions that go with the last one.
    grep -vE '^(tensorflow|h5py|ml_dtypes|protobuf)==' constraints.txt >"$folder/constraints.txt"
    "$uv" pip install --quiet --python "$folder/bin/python" --constraint "$folder/constraints.txt" \
        --override "$here/tensorflow-candidate.txt" --editable '.[all]' --group dev
}

if [ "$candidate" = --candidate ]; then
    with_candidate
    exit
fi
case $version in
3.11 | 3.12 | 3.13)
    "$python" -m venv "$folder"
    ;;
*)
    tell "TensorFlow has no wheels for $("$python" --version): getting a Python 3.13 with uv"
    get_uv
    if ! "$uv" venv --quiet --seed --managed-python --python 3.13 "$folder"; then
        case $version in
        3.0* | 3.10)
            tell "a Python 3.13 could not be downloaded. Install Python 3.11 to 3.13, or: make PYTHON=python3.13"
            exit 1
            ;;
        esac
        tell "it could not be downloaded: taking $(cat "$here/tensorflow-candidate.txt"), a release candidate, in its place"
        with_candidate
        exit
    fi
    ;;
esac
"$folder/bin/python" $pip --upgrade 'pip>=25.1'
"$folder/bin/python" $pip --constraint constraints.txt --editable '.[all]' --group dev
