"""Everything that a board needs, as one file or as the parts of it that a board does not have yet."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from edgefeat._bundle.manifest import INTEGER, MANIFEST_NAME, Variant
from edgefeat._bundle.reader import PART_NAME, Bundle
from edgefeat._commands.deploy.device_wheel import device_wheel
from edgefeat._commands.deploy.sample_photos import sample_photos
from edgefeat._commands.deploy.services import SERVICES, Service
from edgefeat._commands.deploy.target import Target, engine_for
from edgefeat._commands.deploy.wheels import installer_wheel, wheels_for
from edgefeat._engines.device.cache import cache_folder
from edgefeat._engines.engine import Engine
from edgefeat._errors import ArgumentError

__all__ = ["FOLDER", "Pack", "PackFile", "make_pack"]

#: The folder that a pack unpacks to.
FOLDER = "edgefeat-board"
# MB that pip puts on the board if it downloads there: engine, NumPy and Pillow, and pip's own copies meanwhile.
_DOWNLOADED = {"litert": 280, "onnxruntime": 280, "tflite-runtime": 40}
# Byte code beside the sources.
_COMPILED = 1.3
_SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class PackFile:
    """A file of a pack: its name there, where its bytes are, its size and SHA-256 in hex."""

    name: str
    source: Path | bytes
    size: int
    sha256: str

    @classmethod
    def of(cls, name: str, source: Path | bytes) -> PackFile:
        if isinstance(source, bytes):
            return cls(name, source, len(source), hashlib.sha256(source).hexdigest())
        with open(source, "rb") as stream:
            return cls(name, source, os.path.getsize(source), hashlib.file_digest(stream, "sha256").hexdigest())


@dataclass(frozen=True)
class Pack:
    """What goes to a board. `identity` names the content: boards with the same identity run the same."""

    target: Target
    engine: str
    variants: tuple[str, ...]
    bundle: str
    offline: bool
    services: tuple[Service, ...]
    contents: tuple[PackFile, ...]
    facts: dict[str, str]

    @cached_property
    def identity(self) -> str:
        """Return the name of the release on the board: 16 hex digits."""
        facts = [f"{file.sha256} {file.name}" for file in self.contents if not file.name.startswith("photos/")]
        settings = sorted(f"{name}={value}" for name, value in self.facts.items())
        return hashlib.sha256("\n".join([*facts, *settings]).encode()).hexdigest()[:16]

    def files(self) -> list[PackFile]:
        """Return every file, with the settings and the sums that the installer reads."""
        settings = {"pack_id": self.identity, **self.facts}
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
        contents = [*self.contents, PackFile.of("pack.env", text.encode())]
        sums = "".join(f"{file.sha256}  {file.name}\n" for file in contents)
        return [*contents, PackFile.of(_SUMS, sums.encode())]

    def write(self, stream: BinaryIO, *, without: Iterable[str] = (), folder: str = "", gzip: bool = False) -> None:
        """Write the files as a tar archive, without those whose SHA-256 the board has already."""
        present = frozenset(without)
        mode = "w|gz" if gzip else "w|"
        with tarfile.open(fileobj=stream, mode=mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]  # typeshed has no name for a mode that is a variable
            for file in self.files():
                if file.sha256 in present and file.name not in _ALWAYS:
                    continue
                entry = tarfile.TarInfo(os.path.join(folder, file.name).replace(os.sep, "/"))
                entry.size, entry.mode = file.size, 0o755 if file.name.endswith(".sh") else 0o644
                if isinstance(file.source, bytes):
                    archive.addfile(entry, io.BytesIO(file.source))
                else:
                    with open(file.source, "rb") as source:
                        archive.addfile(entry, source)

    def missing(self, present: Iterable[str]) -> int:
        """Return how many bytes a board lacks that has the files with these SHA-256."""
        have = frozenset(present)
        return sum(file.size for file in self.files() if file.sha256 not in have or file.name in _ALWAYS)


# What starts the installation comes with it, whatever the board has.
_ALWAYS = frozenset({"install.sh", "check.py", "pack.env", _SUMS})


def make_pack(
    bundle: Bundle,
    target: Target,
    *,
    engine: str | None = None,
    offline: bool = False,
    services: Sequence[Service] | None = None,
    fresh: bool = False,
) -> Pack:
    """Return the pack of `bundle` for `target`. With `offline` it has the wheels of all that is installed there.

    `services` replaces those on the board; None keeps them, and an empty list removes them. `fresh` asks the package
    index again instead of taking the wheels of the last time.

    Raises ArgumentError if the board cannot run any variant, BundleError if a file was changed, and OutputError if a
    wheel cannot be downloaded.
    """
    chosen = engine_for(target, formats={one.format for one in bundle.manifest.variants}, wanted=engine)
    variants = _variants(bundle, chosen)
    wheel = device_wheel()
    extras = [chosen.extra, *(one.command for one in services or () if one.command in wheel.extras)]
    contents = [
        *(PackFile.of(name, _script(name)) for name in ("install.sh", "check.py")),
        PackFile.of(wheel.name, wheel.data),
        *_bundle_files(bundle, {variant.name for variant in variants}),
    ]
    downloaded = [installer_wheel(fresh=fresh)]
    if offline:
        downloaded += wheels_for(target, _kept(wheel.name, wheel.data), extras, fresh=fresh)
    contents += [PackFile.of(f"wheels/{path.name}", path) for path in downloaded]
    contents += _service_files(services or ())
    contents += [PackFile.of(f"photos/{name}", data) for name, data in sample_photos(bundle)]
    facts = {
        "pack_bundle": bundle.manifest.name,
        "pack_wheel": wheel.name,
        "pack_extras": ",".join(extras),
        "pack_pip": downloaded[0].name,
        "pack_services": "keep" if services is None else "replace",
        "pack_service_extras": " ".join(sorted(wheel.extras.intersection(SERVICES))),
        **_requirements(contents, target, offline, chosen),
    }
    return Pack(
        target, chosen.name, tuple(one.name for one in variants), bundle.manifest.name, offline,
        tuple(services or ()), tuple(contents), facts,
    )  # fmt: skip


def _requirements(contents: Sequence[PackFile], target: Target, offline: bool, engine: Engine) -> dict[str, str]:
    """Return what the installer checks. Wheels that come with the pack are of one Python and C library."""
    downloaded = 0 if offline else _DOWNLOADED[engine.name]
    return {
        "pack_machine": target.machine,
        "pack_python": target.version if offline else "",
        "pack_glibc": ".".join(map(str, target.glibc)) if offline else "",
        "pack_modules": " ".join(target.from_system),
        "pack_offline": "1" if offline else "",
        "pack_environment": _environment(contents, target, offline),
        "pack_disk_alone": str(_megabytes([one for one in contents if not one.name.endswith(".whl")], 0)),
        "pack_disk": str(_megabytes(contents, downloaded)),
    }


def _variants(bundle: Bundle, engine: Engine) -> list[Variant]:
    """Return the variants that the engine runs. tflite-runtime gets those in float, if there are any.

    Its int8 takes more instructions than its float, and its int8 features are not quite those of other engines.
    """
    able = [variant for variant in bundle.manifest.variants if variant.format == engine.format]
    found = [variant for variant in able if variant.base != INTEGER] or able  # a board has floats
    if engine.name == "tflite-runtime":
        return [variant for variant in found if variant.precision in ("float32", "float16")] or found
    return found


def _bundle_files(bundle: Bundle, variants: set[str]) -> list[PackFile]:
    """Return the bundle's files with those variants alone, each checked against the manifest."""
    manifest = bundle.manifest
    if bundle.path.name == "" or not variants:
        raise ArgumentError(f"bundle {bundle.path} has no variant for this board")
    left_out = {variant.file.name for variant in manifest.variants if variant.name not in variants}
    for file in manifest.files():
        bundle.read(file)
    names = [MANIFEST_NAME, *(file.name for file in manifest.files() if file.name not in left_out)]
    found = [PackFile.of(f"bundle/{name}", bundle.path / name) for name in names]
    if left_out or (bundle.path / PART_NAME).exists():
        found.append(PackFile.of(f"bundle/{PART_NAME}", json.dumps(sorted(variants)).encode()))
    return found


def _environment(contents: Sequence[PackFile], target: Target, offline: bool) -> str:
    """Return the name of the set of packages: packs with the same share one installation on the board."""
    wheels = [f"{file.sha256} {file.name}" for file in contents if file.name.endswith(".whl")]
    return hashlib.sha256("\n".join([*wheels, target.version, str(offline)]).encode()).hexdigest()[:16]


def _service_files(services: Sequence[Service]) -> list[PackFile]:
    """Return the units, and what the user wrote for them: the next deployment may keep them."""
    if not services:
        return []
    units = [PackFile.of(f"services/{one.name}.service", one.unit().encode()) for one in services]
    return [*units, PackFile.of("services/commands", "".join(f"{one.text}\n" for one in services).encode())]


def _script(name: str) -> bytes:
    return files("edgefeat._commands.deploy.board").joinpath(name).read_bytes()


def _kept(name: str, data: bytes) -> Path:
    """Return the wheel as a file, for pip to read what it requires."""
    folder = cache_folder() / "wheels" / hashlib.sha256(data).hexdigest()[:16]
    path = folder / name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{name}.{os.getpid()}"
        part.write_bytes(data)
        part.replace(path)
    return path


def _megabytes(contents: Sequence[PackFile], downloaded: int) -> int:
    """Return the MB that the board needs while it installs: the pack itself, and what it unpacks to."""
    unpacked = 0
    for file in contents:
        if file.name.endswith(".whl"):
            source = io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source
            with zipfile.ZipFile(source) as archive:
                unpacked += sum(entry.file_size for entry in archive.infolist())
    return round((sum(file.size for file in contents) + _COMPILED * unpacked) / 1e6) + downloaded + 1
