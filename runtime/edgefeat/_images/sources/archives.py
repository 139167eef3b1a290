"""Images in `.zip` and `.tar` archives, read in place: `archive.zip!/folder/a.jpg` names a member."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from edgefeat._errors import PictureError

__all__ = ["ARCHIVE_SUFFIXES", "archive_members", "file_facts", "is_archive", "member_path", "read_member"]

#: The endings of archives.
ARCHIVE_SUFFIXES = (".zip", ".tar")

_SEPARATOR = "!/"
# The limit for one member in memory, far above any photo.
_MOST_BYTES = 256_000_000
_MOST_MEMBERS = 100_000
# Python reads a zip file's directory at once; each entry of 46 or more bytes becomes about 700 bytes.
_MOST_DIRECTORY = 16_000_000
# The limit for one tar header: enough for a long name, not for a file.
_MOST_HEADER = 1_000_000
_LOCAL_HEADER = 30


class _Member(NamedTuple):
    """The position of a member: its data in a tar file, its header in a zip file. `method` is None for tar."""

    offset: int
    packed: int
    size: int
    method: int | None
    crc: int
    is_encrypted: bool


def is_archive(path: str) -> bool:
    """Return whether the path is an archive, by its ending."""
    return path.lower().endswith(ARCHIVE_SUFFIXES) and os.path.isfile(path)


def member_path(path: str) -> tuple[str, str] | None:
    """Return the archive and the member that a path names, or None."""
    at = path.find(_SEPARATOR)
    while at >= 0:
        if is_archive(path[:at]):
            return path[:at], path[at + len(_SEPARATOR) :]
        at = path.find(_SEPARATOR, at + 1)
    return None


def archive_members(archive: str) -> Iterator[str]:
    """Yield the path of every member that is not hidden, in the archive's order. Raises PictureError."""
    for name in _index(archive):
        if not any(part.startswith(".") for part in name.split("/")):
            yield f"{archive}{_SEPARATOR}{name}"


def file_facts(path: str) -> tuple[int, int]:
    """Return size and modification time (ns) of a file; for a member, its archive's time. Raises OSError."""
    found = member_path(path) if _SEPARATOR in path else None
    if found is None:
        status = os.stat(path)
        return status.st_size, status.st_mtime_ns
    try:
        return _member(*found).size, os.stat(found[0]).st_mtime_ns
    except PictureError as error:
        raise FileNotFoundError(str(error)) from None


def read_member(archive: str, name: str) -> bytes:
    """Return a member's content. Raises PictureError if it is missing, too large, encrypted or damaged."""
    import zipfile  # imported only if an archive is used, like tarfile

    member = _member(archive, name)
    if member.size > _MOST_BYTES:
        raise PictureError(f"{member.size:,} bytes in an archive (allowed: {_MOST_BYTES:,}): unpack it first")
    if member.is_encrypted:
        raise PictureError("is encrypted in its archive: unpack it first")
    if member.method not in (None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PictureError(
            f"is compressed by method {member.method} in its archive (allowed: stored, deflate): unpack it first"
        )
    with open(archive, "rb") as stream:
        data = _packed(stream, member)
    if member.method == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, member.size + 1)
        except zlib.error:
            raise PictureError("is damaged in its archive") from None
    if len(data) != member.size or (member.method is not None and zlib.crc32(data) != member.crc):
        raise PictureError("is damaged in its archive")
    return data


def _packed(stream: BinaryIO, member: _Member) -> bytes:
    stream.seek(member.offset)
    if member.method is not None:
        head = stream.read(_LOCAL_HEADER)
        if len(head) < _LOCAL_HEADER or head[:4] != b"PK\x03\x04":
            raise PictureError("is damaged in its archive")
        name, extra = struct.unpack("<HH", head[26:])
        stream.seek(name + extra, os.SEEK_CUR)
    return stream.read(member.packed)


def _member(archive: str, name: str) -> _Member:
    member = _index(archive).get(name)
    if member is None:
        raise PictureError(f"no such member in {os.path.basename(archive)}")
    return member


def _index(archive: str) -> dict[str, _Member]:
    import tarfile
    import zipfile

    try:
        status = os.stat(archive)
        return _index_of(archive, status.st_size, status.st_mtime_ns)
    except (OSError, EOFError, ValueError, NotImplementedError, struct.error) as error:
        raise PictureError(f"the archive cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise PictureError(f"the archive is damaged or of another type: {error}") from None


@lru_cache(maxsize=2)
def _index_of(archive: str, size: int, _mtime_ns: int) -> dict[str, _Member]:
    """Return every file in the archive by its name, without `.` and leading slashes."""
    found: dict[str, _Member] = {}
    packed = 0
    for name, member in (_zipped if archive.lower().endswith(".zip") else _tarred)(archive):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        packed += member.packed
        if parts and ".." not in parts:
            found["/".join(parts)] = member
        if len(found) > _MOST_MEMBERS:
            raise PictureError(f"an archive of more than {_MOST_MEMBERS:,} files: unpack it first, or split it")
    if packed > size:
        raise PictureError("an archive whose files overlap: it is malicious or damaged")
    return found


def _zipped(archive: str) -> Iterator[tuple[str, _Member]]:
    import zipfile

    with open(archive, "rb") as stream:
        if (claimed := _directory_bytes(stream)) > _MOST_DIRECTORY:
            raise PictureError(
                f"a zip file with a directory of {claimed:,} bytes (allowed: {_MOST_DIRECTORY:,}): unpack it first"
            )
        with zipfile.ZipFile(stream) as file:
            for one in file.infolist():
                if not one.is_dir():
                    sizes = one.compress_size, one.file_size
                    encrypted = bool(one.flag_bits & 1)
                    yield one.filename, _Member(one.header_offset, *sizes, one.compress_type, one.CRC, encrypted)


def _directory_bytes(stream: BinaryIO) -> int:
    """Return the size of a zip file's directory as stated in the file, or 0 if Python would not find it either."""
    end = stream.seek(0, os.SEEK_END)
    start = max(0, end - 65_600)
    stream.seek(start)
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[at - 20 : at - 16] == b"PK\x06\x07":
        stream.seek(min(int.from_bytes(tail[at - 12 : at - 4], "little"), end))
        record = stream.read(56)
        # Python expects the record directly before the locator, whatever the locator says.
        for found in (record, tail[max(0, at - 76) : at - 20]):
            if found[:4] == b"PK\x06\x06":
                size = max(size if size != 0xFFFFFFFF else 0, int.from_bytes(found[40:48], "little"))
    return size


class _Headers:
    """A tar file that refuses to read oversized headers, such as a name that claims gigabytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, size: int) -> bytes:
        if size > _MOST_HEADER:
            import tarfile

            raise tarfile.HeaderError(f"a header of more than {_MOST_HEADER:,} bytes")
        return self._stream.read(size)


def _tarred(archive: str) -> Iterator[tuple[str, _Member]]:
    import tarfile

    with open(archive, "rb") as stream:
        if stream.read(2) in (b"\x1f\x8b", b"BZ", b"\xfd7"):
            raise PictureError(
                "a compressed tar file cannot be read in place: unpack it, or convert it to .zip or .tar"
            )
        stream.seek(0)
        with tarfile.TarFile(fileobj=_Headers(stream), errorlevel=0) as file:  # type: ignore[arg-type]  # all it calls
            while (one := file.next()) is not None:
                file.members.clear()  # type: ignore[attr-defined]  # it would keep each
                if one.isreg() and not one.issparse():
                    yield one.name, _Member(one.offset_data, one.size, one.size, None, 0, False)
