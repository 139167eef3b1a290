"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from edgefeat._bundle.manifest import MANIFEST_NAME, VARIANTS
from edgefeat._errors import ArgumentError, OutputError

__all__ = ["check_new_folder", "new_folder", "umask", "write_file", "written_file"]

# A folder that holds anything else is never replaced: many a project has a `manifest.json`.
_BUNDLE_NAMES = frozenset(
    {MANIFEST_NAME, "golden.npz", "README.md", *(f"{name}.{name.partition('-')[0]}" for name in VARIANTS)}
)


@contextlib.contextmanager
def written_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream whose content replaces `path` in one step when the block ends, and leaves nothing if it fails.

    Raises OutputError where the folder is missing, cannot be written or is full.
    """
    target = Path(path)
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


def _new_file(target: Path) -> tuple[int, str]:
    """A new file beside `target`, open, and its path. Not by `tempfile`, which costs a start 2 ms."""
    path = os.path.abspath(target.parent / f".{target.name}.{os.urandom(4).hex()}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), path


def write_file(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Lets `write` fill the file at `path`, which appears whole or not at all. Raises OutputError."""
    with written_file(path) as stream:
        write(stream)


def check_new_folder(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raises ArgumentError now where `new_folder` could not make `path` after hours of work."""
    target = Path(path).absolute()
    if os.path.lexists(target) and not overwrite:
        raise ArgumentError(f"{path} exists already; give another name with -o, or replace it with --overwrite")
    if os.path.lexists(target) and (why := _why_no_bundle(target)):
        raise ArgumentError(f"{path} {why}: --overwrite replaces only bundles; give another name with -o")
    folder = next(parent for parent in target.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ArgumentError(f"{path} cannot be made: {folder} is not a folder that can be written")


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """An empty temporary folder that becomes `path` in one step when the block ends, and is removed if it fails.

    Raises ArgumentError where `check_new_folder` does, and OutputError where the disk is full or fails.
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
    """Why `folder` may hold something else than a bundle, perhaps a damaged one; empty where it does not."""
    if not (folder / MANIFEST_NAME).is_file():
        return "is not a bundle"
    foreign = sorted(name for name in os.listdir(folder) if name not in _BUNDLE_NAMES and not name.startswith("."))
    return f"holds {foreign[0]!r}, which no bundle does" if foreign else ""


def _replace_folder(temporary: Path, target: Path) -> None:
    """A folder cannot be replaced in one step: the old one is moved aside first, and put back if that was all."""
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
                os.rmdir(aside)  # only if it is empty: what could not be put back is kept
            raise
        shutil.rmtree(aside, ignore_errors=True)
    _sync_folder(target.parent)


def _sync(path: Path) -> None:
    # Windows writes out what was opened for writing alone, and POSIX a folder only where it was opened for reading.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(folder)


def umask() -> int:
    """The permissions that new files of this process lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
