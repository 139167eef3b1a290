"""The wheel of the device side alone, made of the `edgefeat` that is running: from a clone, or installed."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

import edgefeat
from edgefeat._errors import MissingExtraError
from edgefeat._version import __version__

__all__ = ["DeviceWheel", "device_wheel"]

_ENTRY_POINTS = "[console_scripts]\nedgefeat = edgefeat.__main__:main\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: edgefeat\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# The first that a zip file can hold: the same content gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class DeviceWheel:
    """A wheel: its file name, its bytes, and the names of the extras that it has."""

    name: str
    data: bytes
    extras: frozenset[str]


def device_wheel() -> DeviceWheel:
    """Return the wheel of this edgefeat without the workstation's packages. It needs no build tool and no network.

    Raises MissingExtraError if edgefeat is run from a folder without being installed.
    """
    try:
        installed = distribution("edgefeat")
    except PackageNotFoundError:
        raise MissingExtraError("edgefeat is not installed: run `pip install .` in the clone first") from None
    metadata = installed.read_text("METADATA") or ""
    information = f"edgefeat-{__version__}.dist-info"
    files = {
        **_package_files(),
        f"{information}/METADATA": _with_version(metadata).encode(),
        f"{information}/WHEEL": _WHEEL.encode(),
        f"{information}/entry_points.txt": _ENTRY_POINTS.encode(),
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    extras = frozenset(installed.metadata.get_all("Provides-Extra") or ())
    return DeviceWheel(f"edgefeat-{__version__}-py3-none-any.whl", stream.getvalue(), extras)


def _package_files() -> dict[str, bytes]:
    package = os.path.dirname(os.path.abspath(edgefeat.__file__))
    found = {}
    for folder, folders, names in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith((".pyc", ".pyo")):
                relative = os.path.relpath(path, os.path.dirname(package)).replace(os.sep, "/")
                with open(path, "rb") as stream:
                    found[relative] = stream.read()
    return found


def _with_version(metadata: str) -> str:
    """Return the metadata with the version of the code: an editable install keeps what it had when it was made."""
    head, separator, body = metadata.partition("\n\n")
    lines = [f"Version: {__version__}" if line.startswith("Version:") else line for line in head.splitlines()]
    return "\n".join(lines) + separator + body


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
