"""A bundle made with ill intent, whose hashes agree: it is refused, costs no memory, and nothing in it is ever run."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgefeat
from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES

Altered = Callable[..., Path]
Change = Callable[[Path], object]


def python(program: str, *arguments: str | Path, **environment: str) -> str:
    """What the program prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- golden.npz that is not what it seems, in a bundle whose hashes agree


def member(shape: tuple[int, ...], kind: str = "<f4", data: bytes = b"") -> bytes:
    stream = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("unpickled",)


def objects() -> bytes:
    stream = io.BytesIO()
    array = np.empty((8, 16), object)
    array.fill(Bomb())
    np.save(stream, array, allow_pickle=True)
    assert b"unpickled" in pickle.dumps(Bomb())
    return stream.getvalue()


Member = bytes | tuple[bytes, int] | None


def repacked(method: int = zipfile.ZIP_DEFLATED, **members: Member) -> Change:
    """Replaces, adds or (None) removes members of golden.npz; `__` in a name stands for `/`.

    Of a pair the number says how many megabytes of zeros follow.
    """

    def change(folder: Path) -> None:
        with np.load(folder / "golden.npz") as archive:
            names = archive.files
        with zipfile.ZipFile(folder / "golden.npz") as archive:
            whole: dict[str, Member] = {name: archive.read(f"{name}.npy") for name in names}
        whole |= {name.replace("__", "/"): data for name, data in members.items()}
        with zipfile.ZipFile(folder / "golden.npz", "w", method) as archive:
            for name, data in whole.items():
                if data is not None:
                    head, zeros = data if isinstance(data, tuple) else (data, 0)
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                        stream.write(head)
                        for _ in range(zeros):
                            stream.write(bytes(1_000_000))

    return change


def overwritten(data: bytes) -> Change:
    return lambda folder: (folder / "golden.npz").write_bytes(data)


def cut(folder: Path) -> None:
    (folder / "golden.npz").write_bytes((folder / "golden.npz").read_bytes()[:-30])


PIXELS = 32 * 32 * 3
HOSTILE: dict[str, Change] = {
    "32 GiB claimed": repacked(pictures=member((2**35 // PIXELS, 32, 32, 3), "|u1")),
    "64 rows claimed": repacked(keras__last=member((64, 16))),
    "pickled objects": repacked(keras__last=objects()),
    "another type": repacked(keras__last=member((8, 16), "<f8", b"\0" * 1024)),
    "another shape": repacked(keras__last=member((8, 17), data=b"\0" * 544)),
    "another rank": repacked(keras__last=member((), data=b"\0" * 4)),
    "a row too few": repacked(keras__last=member((7, 16), data=b"\0" * 448)),
    "no row": repacked(pictures=member((0, 32, 32, 3), "|u1")),
    "a missing array": repacked(pictures=None),
    "a header of nonsense": repacked(
        pictures=b"\x93NUMPY\x01\0\x76\0" + b"__import__('os').mkdir('unpickled')".ljust(118)
    ),
    "a header that is long": repacked(pictures=b"\x93NUMPY\x01\0\xff\xff" + b"(" * 65535),
    "a header that nests": repacked(pictures=b"\x93NUMPY\x01\0\x28\x23" + b"(" * 9000),
    "a bomb beside": repacked(other=(b"", 300)),
    "a bomb of pictures": repacked(pictures=(member((60_000, 32, 32, 3), "|u1"), 60_000 * PIXELS // 10**6 + 1)),
    "a bzip2 bomb": repacked(zipfile.ZIP_BZIP2, pictures=(member((8, 32, 32, 3), "|u1"), 100)),
    "an LZMA bomb": repacked(zipfile.ZIP_LZMA, pictures=(member((8, 32, 32, 3), "|u1"), 100)),
    "no archive": overwritten(b"PK\x03\x04" + b"x" * 1000),
    "nothing": overwritten(b""),
    "a cut archive": cut,
}

VERIFY = """
import sys, edgefeat
def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) // 1024
edgefeat.verify(sys.argv[1])
before = memory("VmRSS")
for bundle in sys.argv[2:]:
    try:
        edgefeat.verify(bundle)
    except edgefeat.BundleError as error:
        print(repr(str(error)))
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_hostile_golden_vectors_cost_no_memory_and_run_nothing(
    one_tap: Path, altered: Altered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundles = [altered(one_tap, lambda _, folder, change=change: change(folder)) for change in HOSTILE.values()]
    *said, rise = python(VERIFY, one_tap, *bundles).splitlines()
    assert len(said) == len(HOSTILE), said
    for what, bundle, line in zip(HOSTILE, bundles, said, strict=True):
        assert line[1:].startswith(f"bundle {bundle}: golden.npz: "), (what, line)
        assert "\\n" not in line
    assert int(rise) < 64
    assert list(tmp_path.iterdir()) == []


# --- ONNX


def field(number: int, value: bytes | int, *, long: bool = False) -> bytes:
    """A protobuf field; `long` spells its numbers with more bytes than need be."""
    kind = 0 if isinstance(value, int) else 2
    head = [number << 3 | kind, value if isinstance(value, int) else len(value)]
    return b"".join(bytes([one | 0x80, 0x80, 0]) if long else bytes([one]) for one in head) + (
        b"" if isinstance(value, int) else value
    )


@pytest.mark.parametrize("long", [False, True])
def test_onnx_with_weights_in_another_file_is_refused(
    one_tap: Path, altered: Altered, engine: Engine, long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.format != "onnx":
        pytest.skip(f"{engine.name} runs no ONNX")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(b"\0\0\0\0")
    place = field(1, b"location", long=long) + field(2, b"weights")
    tensor = field(1, 1) + field(2, 1) + field(8, b"spare") + field(13, place) + field(14, 1)

    def add(manifest: dict[str, Any], folder: Path) -> None:
        # A second graph in the file is merged into the first: the model stays as it was, with one more weight.
        with open(folder / "onnx-float32.onnx", "ab") as stream:
            stream.write(field(7, field(5, tensor)))

    bundle = altered(one_tap, add)
    with pytest.raises(edgefeat.EngineError, match="keeps weights in another file"):
        edgefeat.load(bundle, engine=engine.name, variant="onnx-float32")
    assert edgefeat.load(bundle, engine=engine.name).variant == "onnx-int8"


# --- what Python itself reports of a run


def pictures(folder: Path) -> None:
    """Files that are not what they seem, and good ones with a part that some library would run or follow."""
    folder.mkdir()
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "$(touch ran)"
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        picture.save(folder / f"{kind}.jpg", kind, exif=exif)
        whole = (folder / f"{kind}.jpg").read_bytes()
        (folder / f"{kind}-cut.jpg").write_bytes(whole[: len(whole) // 2])
        for place in range(0, min(len(whole), 600), 40):
            (folder / f"{kind}-{place}.jpg").write_bytes(whole[:place] + b"\xff\x00\xff\x7f" + whole[place + 4 :])
    xmp = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&e;</x:xmpmeta>'
    picture.save(folder / "xmp.png", xmp=xmp)
    picture.save(folder / "several.jpg", "MPO", save_all=True, append_images=[picture])
    for name, head in {
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file",
        "pdf.jpg": b"%PDF-1.7\n",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/x"/></svg>',
        "tiff.jpg": b"II*\x00\x08\x00\x00\x00",
        "psd.jpg": b"8BPS\x00\x01",
        "python.png": b"import os; os.mkdir('ran')",
        "pickle.png": pickle.dumps(Bomb()),
        "array.png": objects(),
        "heic.jpg": b"\x00\x00\x00\x18ftypheic" + b"\x00" * 100,
    }.items():
        (folder / name).write_bytes(head + b"\n" * 50)


AUDIT = """
import concurrent.futures.thread, dataclasses, importlib, json, os, pkgutil, sys
import numpy, edgefeat, edgefeat._bundle.manifest, edgefeat._images.formats, edgefeat._images.truncation
from edgefeat._engines.tuning_record import Candidate, Tuning
from PIL import Image
for found in pkgutil.iter_modules(edgefeat._images.formats.__path__):  # a module's records are compiled on import
    importlib.import_module(f"edgefeat._images.formats.{found.name}")
bundle, folder, module = sys.argv[1:]
edgefeat.load(bundle).extract(numpy.zeros((40, 40, 3), numpy.uint8))  # the engine's own start is its own affair
Image.init()

# The types of these records' fields are compiled from edgefeat's own source when they are asked for.
records = (Tuning, Candidate)
own = {field.type for one in records for field in dataclasses.fields(one)}
own |= {compile(text, "<string>", "eval") for text in own}
mine = ("edgefeat", "PIL", "numpy", "os", module)
homes = tuple({os.path.dirname(sys.modules[name].__file__) + os.sep for name in mine})
names = {"edgefeat", "PIL", "numpy", "pillow_heif", module} | sys.stdlib_module_names
never = ("pickle.", "socket.", "subprocess.", "os.", "pty.", "ctypes.", "urllib.", "http.", "shutil.", "tempfile.")
harmless = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
seen = []

def hook(event, args):
    if event == "import":
        bad = args[0].partition(".")[0] not in names
    elif event in ("exec", "compile"):
        source = args[0] if isinstance(args[0], str) or event == "exec" else (args[0] or b"").decode()
        bad = source not in own and not str(args[1] if event == "compile" else source.co_filename).startswith(homes)
    elif event == "open":
        bad = isinstance(args[1], str) and any(letter in args[1] for letter in "wax+") or bool(args[2] & 3)
    else:
        bad = event.startswith(never) and event not in harmless
    if bad:
        seen.append(f"{event} {args!r}"[:200])

sys.addaudithook(hook)
extractor = edgefeat.load(bundle)
paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
read = [one.source for one in extractor.stream(paths) if one.error is None]
found = list(seen)

# Would it have been noticed?
import pickle, socket, subprocess
for act in (
    lambda: pickle.loads(b"cos\\nsystem\\n."),
    lambda: exec("1"),
    lambda: socket.socket(),
    lambda: subprocess.run(["true"]),
    lambda: os.system("true"),
    lambda: open("ran", "w"),
    lambda: __import__("edgefeat_not_there"),
):
    before = len(seen)
    try:
        act()
    except ImportError:
        pass
    assert len(seen) > before
print(json.dumps({"found": found, "read": len(read), "failed": len(paths) - len(read)}))
"""


def test_a_bundle_and_hostile_pictures_make_python_do_nothing_else(
    one_tap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "pictures")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    engine = edgefeat.load(one_tap).engine  # its probe is remembered from here on
    (module,) = [one.module for one in ENGINES if one.name == engine]
    told = json.loads(python(AUDIT, one_tap, tmp_path / "pictures", module))
    assert told["found"] == []
    assert told["read"] >= 7
    assert told["failed"] >= 14
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"ran"}  # by the control at the end
    assert (tmp_path / "work" / "ran").read_bytes() == b""
