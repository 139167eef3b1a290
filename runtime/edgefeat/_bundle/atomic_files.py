"""Files and folders written atomically: either complete or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from edgefeat._bundle.manifest import ALL_VARIANTS, MANIFEST_NAME
from edgefeat._bundle.reader import PART_NAME
from edgefeat._errors import ArgumentError, OutputError

__all__ = ["check_new_folder", "led_to", "new_folder", "umask", "write_file", "written_file"]

# A folder with anything else in it is never replaced: many projects have a `manifest.json`.
_BUNDLE_NAMES = frozenset(
    {
        MANIFEST_NAME,
        PART_NAME,
        "golden.npz",
        "README.md",
        *(f"{name}.{name.partition('-')[0]}" for name in ALL_VARIANTS),
    }
)


@contextlib.contextmanager
def written_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a stream whose content replaces `path` atomically when the block ends. On failure nothing changes.

    A link stays, and the file that it leads to is replaced. Raises OutputError if the folder is missing or not
    writable, the path is no plain file, or the disk is full.
    """
    target = led_to(path)
    if os.path.lexists(target) and not target.is_file():
        raise OutputError(f"{os.fspath(path)} cannot be written: it is no plain file but a folder, a device or a pipe")
    try:
        descriptor, temporary = _new_file(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def led_to(path: str | os.PathLike[str]) -> Path:
    """Return the file that a link leads to, whether it exists or not; `path` itself if it is no link."""
    return Path(os.path.realpath(path) if os.path.islink(path) else path)


def _new_file(target: Path) -> tuple[int, str]:
    """Create a file beside `target` and return it, open, with its path. `tempfile` would take 2 ms to import."""
    path = os.path.abspath(target.parent / f".{target.name}.{os.urandom(4).hex()}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), path


def write_file(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Write the file at `path` with the function `write`, atomically. Raises OutputError."""
    with written_file(path) as stream:
        write(stream)


def check_new_folder(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise ArgumentError early if `new_folder` could not create `path`, rather than after hours of work."""
    target = Path(path).absolute()
    if os.path.lexists(target) and not overwrite:
        raise ArgumentError(f"{path} already exists: choose another name with -o, or replace it with --overwrite")
    if os.path.lexists(target) and (why := _why_no_bundle(target)):
        raise ArgumentError(f"{path} {why}: --overwrite replaces only bundles; choose another name with -o")
    folder = next(parent for parent in target.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ArgumentError(f"{path} cannot be created: {folder} is not a writable folder")


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """Create an empty temporary folder that becomes `path` when the block ends, or is removed if the block fails.

    Raises ArgumentError as `check_new_folder` does, and OutputError if the disk is full or fails.
    """
    import tempfile

    check_new_folder(path, overwrite=overwrite)
    target = Path(path).absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync_folder(temporary)
        os.chmod(temporary, 0o777 & ~umask())
        _replace_folder(temporary, target)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _why_no_bundle(folder: Path) -> str:
    """Return why `folder` may be something other than a bundle (even a damaged one), or an empty text."""
    if not (folder / MANIFEST_NAME).is_file():
        return "is not a bundle"
    foreign = sorted(name for name in os.listdir(folder) if not _is_of_bundle(name) and not name.startswith("."))
    return f"contains {foreign[0]!r}, which is not part of a bundle" if foreign else ""


def _replace_folder(temporary: Path, target: Path) -> None:
    """Move the old folder aside, the new one in place. If that fails, put the old one back."""
    if not os.path.lexists(target):
        os.rename(temporary, target)
    else:
        import tempfile

        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        try:
            os.rename(target, aside / target.name)
            try:
                os.rename(temporary, target)
            except BaseException:
                os.rename(aside / target.name, target)
                raise
        except BaseException:
            with contextlib.suppress(OSError):
                os.rmdir(aside)  # only if empty: a folder that could not be put back is kept
            raise
        shutil.rmtree(aside, ignore_errors=True)
    _sync_folder(target.parent)


def _sync(path: Path) -> None:
    # Windows syncs only files opened for writing, POSIX syncs folders only when opened for reading.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # other systems cannot open a folder
        _sync(folder)


def umask() -> int:
    """Return the permission bits that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_of_bundle(name: str) -> bool:
    """Return whether a bundle may have a file of this name, such as `tflite-int8@nv21-640x480.tflite`."""
    base, at, rest = name.partition("@")
    frame, dot, suffix = rest.rpartition(".")
    return (f"{base}{dot}{suffix}" if at and frame else name) in _BUNDLE_NAMES
