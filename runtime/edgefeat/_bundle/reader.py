"""Reading a bundle from disk. Every file's hash is checked before native code parses it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from edgefeat._bundle.manifest import MANIFEST_NAME, File, Manifest, Variant
from edgefeat._errors import ArgumentError, BundleError, checked_type

__all__ = ["PART_NAME", "Bundle"]

#: The file of a bundle that holds only some of its variants: their names, as a JSON list. The manifest stays as it is,
#: so that features of the whole bundle and of a part of it belong together.
PART_NAME = "variants.json"

_MAX_MANIFEST_SIZE = 4_000_000
_MAX_PART_SIZE = 100_000
# What file managers and network drives create in any folder. Hidden entries are theirs too, or those of a version
# control or a model hub.
_DROPPINGS = frozenset({"Thumbs.db", "desktop.ini", "@eaDir"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle folder whose manifest is valid and whose files are all present, with the sizes it lists.

    `identity` is the SHA-256 of the manifest in hex: two bundles with the same identity give the same features. On a
    board one may hold only some of the variants; `manifest` then has only those.
    """

    path: Path
    manifest: Manifest
    identity: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open the bundle at `path`. Raises BundleError for a missing, truncated or unknown file, a link, or another
        schema.
        """
        checked_type("bundle", path, (str, os.PathLike), "the path of a folder written by `edgefeat export`")
        folder = Path(path)
        given = os.fspath(path)
        if not os.path.isdir(given):  # not of `folder`: an empty path is not the working folder
            what = "is a file" if os.path.exists(given) else "does not exist"
            raise BundleError(f"bundle {given!r} {what} (expected: a folder written by `edgefeat export`)")
        data = _read(folder, MANIFEST_NAME, _MAX_MANIFEST_SIZE)
        try:
            manifest = Manifest.from_bytes(data)
        except BundleError as error:
            raise BundleError(f"bundle {folder}: {error}") from None
        manifest = _part(folder, manifest)
        bundle = cls(folder, manifest, hashlib.sha256(data).hexdigest())
        bundle._check_names()
        return bundle

    def variant(self, name: str) -> Variant:
        """Return the variant `name`. Raises ArgumentError with those available, or why this one was not written."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        for refusal in self.manifest.refusals:
            if refusal.name == name:
                raise ArgumentError(refusal.reason)
        present = ", ".join(variant.name for variant in self.manifest.variants)
        raise ArgumentError(f"variant {name!r} is not in bundle {self.path} (it has: {present})")

    def frames(self) -> tuple[str, ...]:
        """Return the names of the camera frames that variants of this bundle take, such as `nv21-640x480`."""
        return tuple(dict.fromkeys(one.frame.name for one in self.manifest.variants if one.frame is not None))

    def read(self, file: File) -> bytes:
        """Return the bytes of a file of the bundle. Raises BundleError if size or SHA-256 differ from the manifest."""
        data = _read(self.path, file.name, file.size)
        if len(data) != file.size:
            raise BundleError(f"bundle {self.path}: {file.name} has {len(data)} bytes, the manifest says {file.size}")
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise BundleError(f"bundle {self.path}: {file.name} was changed (its SHA-256 differs from the manifest)")
        return data

    def _check_names(self) -> None:
        expected = {file.name: file for file in self.manifest.files()}
        try:
            with os.scandir(self.path) as entries:
                present = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        except OSError as error:
            raise BundleError(f"bundle {self.path}: the folder cannot be listed: {error.strerror}") from None
        for name in sorted(present.keys() - expected.keys() - {MANIFEST_NAME, PART_NAME}):
            if name not in _DROPPINGS and not name.startswith("."):
                raise BundleError(f"bundle {self.path}: {name!r} is not part of it (not listed in the manifest)")
        for file in expected.values():
            if file.name not in present:
                raise BundleError(f"bundle {self.path}: {file.name} is missing; copy the whole folder again")
            status = present[file.name]
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(
                    f"bundle {self.path}: {file.name} is a link or not a file (allowed: plain files; cp -rL copies "
                    "what links point to)"
                )
            if status.st_size != file.size:
                raise BundleError(
                    f"bundle {self.path}: {file.name} has {status.st_size} bytes, the manifest says {file.size}; "
                    "copy the whole folder again"
                )


def _part(folder: Path, manifest: Manifest) -> Manifest:
    """Return the manifest with the variants that this folder holds: all of them, unless `variants.json` names some."""
    if not os.path.lexists(folder / PART_NAME):
        return manifest
    try:
        names = json.loads(_read(folder, PART_NAME, _MAX_PART_SIZE))
    except (ValueError, RecursionError):
        names = None
    known = [variant.name for variant in manifest.variants]
    if not isinstance(names, list) or not names or not all(name in known for name in names):
        raise BundleError(
            f"bundle {folder}: {PART_NAME} does not list variants (allowed: {', '.join(known)}); "
            "copy the whole folder again"
        )
    return replace(manifest, variants=tuple(variant for variant in manifest.variants if variant.name in names))


def _read(folder: Path, name: str, limit: int) -> bytes:
    """Return up to `limit` bytes of a plain file directly in `folder`. Links are not followed."""

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))

    try:
        with open(folder / name, "rb", opener=opener) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise BundleError(f"bundle {folder}: {name} is not a plain file")
            data = stream.read(limit + 1)
    except OSError as error:
        if error.errno == errno.ENOENT and name == MANIFEST_NAME:
            raise BundleError(
                f"bundle {str(folder)!r} has no {name} (expected: a folder written by `edgefeat export`)"
            ) from None
        reason = "it is a link (allowed: plain files)" if error.errno == errno.ELOOP else error.strerror
        raise BundleError(f"bundle {folder}: {name} cannot be read: {reason}") from None
    if len(data) > limit:
        raise BundleError(f"bundle {folder}: {name} is longer than the {limit} bytes allowed")
    return data
