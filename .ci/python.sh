#!/bin/sh
# Prints the Python that the environments are made with: the newest on this machine for which TensorFlow has wheels
# (3.11 to 3.13) and that can make environments; else python3, for which `environment.sh` finds a way.
for version in 3.13 3.12 3.11; do
    # A name may be there and no Python behind it (pyenv), or one that Debian split venv off from.
    if "python$version" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        command -v "python$version"
        exit
    fi
done
echo python3
