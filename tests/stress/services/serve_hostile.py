"""Good, malformed, huge, slow and silent clients on one `edgefeat serve`, for minutes.

    python -m tests.stress.services.serve_hostile BUNDLE PHOTOS [--seconds 600] [--connections 64]

Every good request must get the feature that `extract` gives, or 503 with Retry-After; every other request a refusal.
The server's memory must stay below that of a process that extracts the same pictures, plus 40 MB, and its descriptors
must return to where they were. At the end the server must stop within 5 s. Exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from tests.runtime.services.serving import bomb

import edgefeat
from edgefeat._images.sources.folders import pictures_in

_MORE_MEGABYTES = 40.0
_STOP_SECONDS = 5.0

_ALONE = """
import resource, sys, edgefeat
extractor = edgefeat.load(sys.argv[1])
for path in sys.argv[2:]:
    extractor.extract(path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


class ClosedError(Exception):
    """The server closed the connection."""


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body. Raises ClosedError."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ClosedError from error
        return int(first.split()[1]), headers, body

    async def post(self, data: bytes, more: str = "") -> tuple[int, dict[str, str], bytes]:
        head = f"POST /features HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {len(data)}\r\n\r\n"
        with suppress(OSError):  # an early refusal is read all the same
            await self.send(head.encode() + data)
        return await self.answer()


class Load:
    """What the clients send, and what came back."""

    def __init__(self, port: int, photos: list[bytes], features: list[list[float]], seconds: float) -> None:
        self.port = port
        self.photos = photos
        self.features = features
        self.end = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.end

    def note(self, kind: str, status: int, allowed: tuple[int, ...]) -> None:
        self.counts[f"{kind} {status}"] += 1
        if status not in allowed:
            self.wrong.append(f"{kind}: {status}, not one of {allowed}")

    async def run(self, kind: Callable[[Client, random.Random], Awaitable[None]], seed: int) -> None:
        """Repeat one kind of client on new connections."""
        chance = random.Random(seed)
        while self.goes_on:
            client = Client(self.port)
            try:
                await client.open()
                await asyncio.wait_for(kind(client, chance), 90)
            except (ClosedError, OSError):
                self.counts[f"{kind.__name__} closed"] += 1
                if kind.__name__ == "good":
                    self.wrong.append("a good connection was closed")
            except TimeoutError:
                self.wrong.append(f"{kind.__name__}: no end after 90 s")
            finally:
                if hasattr(client, "writer"):
                    await client.close()
            await asyncio.sleep(0.01)

    async def good(self, client: Client, chance: random.Random) -> None:
        for _ in range(20):
            number = chance.randrange(len(self.photos))
            status, headers, body = await client.post(self.photos[number])
            self.note("good", status, (200, 503))
            if status == 200:
                if not np.allclose(json.loads(body)["feature"], self.features[number], atol=1e-5):
                    self.wrong.append(f"photo {number}: another feature")
            elif "retry-after" not in headers:
                self.wrong.append("503 without Retry-After")
            else:
                await asyncio.sleep(float(headers["retry-after"]))

    async def malformed(self, client: Client, chance: random.Random) -> None:
        data = bytearray(chance.choice(self.photos))
        for _ in range(chance.randrange(1, 200)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        status, _, _ = await client.post(bytes(data[: chance.randrange(len(data)) + 1]))
        self.note("malformed", status, (200, 422, 503))

    async def huge(self, client: Client, chance: random.Random) -> None:
        kind = chance.randrange(4)
        if kind == 0:
            await client.send(b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n")
            self.note("huge length", (await client.answer())[0], (413,))
        elif kind == 1:
            await client.send(b"POST /features HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            with suppress(OSError):
                for _ in range(2000):
                    await client.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            self.note("huge body", (await client.answer())[0], (413, 503))
        elif kind == 2:
            status, _, _ = await client.post(bomb(20_000))
            self.note("bomb", status, (422, 503))
        else:
            status, _, _ = await client.post(bytes(15_000_000))
            self.note("15 MB of zeros", status, (422, 503, 408))

    async def slow(self, client: Client, chance: random.Random) -> None:
        text = b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)
        step = chance.choice((1, 20, 80))
        for start in range(0, len(text), step):
            await client.send(text[start : start + step])
            await asyncio.sleep(chance.choice((0.2, 1.0)))
            if client.reader.at_eof() or not self.goes_on:
                raise ClosedError
        self.note("slow", (await client.answer())[0], (408, 422, 503))

    async def silent(self, client: Client, chance: random.Random) -> None:
        if chance.random() < 0.5:  # asks for much, and reads nothing
            await client.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        while not client.reader.at_eof() and self.goes_on:
            await asyncio.sleep(0.5)
            if client.writer.transport.is_closing():
                break

    async def half(self, client: Client, chance: random.Random) -> None:
        """Much of a body, then nothing."""
        await client.send(b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        await client.send(bytes(chance.randrange(4_000_000)))
        self.note("half", (await client.answer())[0], (408, 503))

    async def forged(self, client: Client, chance: random.Random) -> None:
        text, allowed = chance.choice(FORGED)
        await client.send(text)
        self.note("forged", (await client.answer())[0], allowed)

    async def leaving(self, client: Client, chance: random.Random) -> None:
        photo = chance.choice(self.photos)
        head = f"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
        await client.send(head + photo[: chance.randrange(len(photo) + 1)])
        client.writer.transport.abort()
        self.counts["leaving"] += 1


_END = b"Host: localhost\r\n\r\n"
FORGED = [
    (b"GET /../../../etc/passwd HTTP/1.1\r\n" + _END, (404,)),
    (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + _END, (404,)),
    (b"GET //etc/passwd HTTP/1.1\r\n" + _END, (404,)),
    (b"GET file:///etc/passwd HTTP/1.1\r\n" + _END, (400, 404)),
    (b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", (421,)),
    (b"GET /info HTTP/1.1\r\nHost: rebound.example.org\r\n\r\n", (421,)),
    (b"GET /info HTTP/1.1\r\n\r\n", (400, 421)),
    (b"POST /features HTTP/1.1\r\nOrigin: https://example.org\r\nContent-Length: 1\r\n" + _END + b"x", (403,)),
    (b"POST /features HTTP/1.1\r\nOrigin: null\r\nContent-Length: 1\r\n" + _END + b"x", (403,)),
    (b"POST /features HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" + _END + b"0\r\n\r\n", (400,)),
    (b"POST /features HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + _END + b"xx", (400,)),
    (b"POST /features HTTP/1.1\r\nContent-Length: +1\r\n" + _END + b"x", (400,)),
    (b"POST /features HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n" + _END + b"x", (400, 501)),
    (b"POST /features HTTP/1.1\r\nTransfer-Encoding : chunked\r\n" + _END + b"0\r\n\r\n", (400,)),
    (b"GET /health HTTP/1.1\r\nX: " + b"a" * 60000 + b"\r\n" + _END, (400, 431)),
    (b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\n" + _END, (400, 414, 431)),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
]


def large() -> bytes:
    """A progressive JPEG of 20 million pixels, about the largest that is allowed."""
    stream = io.BytesIO()
    Image.effect_noise((600, 400), 60).resize((5000, 4000)).convert("RGB").save(stream, "JPEG", progressive=True)
    return stream.getvalue()


def memory(pid: int) -> tuple[float, float, int]:
    """Return a process's memory now and at most, in MB, and its descriptors."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most, len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def attack(load: Load, connections: int, pid: int, rng: int) -> None:
    kinds = [load.good, load.good, load.good, load.malformed, load.huge, load.slow, load.silent, load.half]
    kinds += [load.forged, load.leaving]
    tasks = [asyncio.create_task(load.run(kinds[number % len(kinds)], rng + number)) for number in range(connections)]
    shown = 0.0
    while load.goes_on:
        await asyncio.sleep(1)
        if time.monotonic() - shown > 15:
            shown = time.monotonic()
            now, most, files = memory(pid)
            held = f"memory {now:.0f} MB, at most {most:.0f}; {files} descriptors"
            print(f"{held}; {load.counts['good 200']} good", flush=True)
    await asyncio.gather(*tasks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    paths = pictures_in(given.photos)[:200]
    photos = [Path(path).read_bytes() for path in paths] + [large()]
    extractor = edgefeat.load(given.bundle)
    features = [np.asarray(extractor.extract(photo)).ravel().tolist() for photo in photos]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "large.jpg").write_bytes(photos[-1])
        command = [sys.executable, "-c", _ALONE, given.bundle, *paths, f"{folder}/large.jpg"]
        alone = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    command = [sys.executable, "-m", "edgefeat", "serve", given.bundle, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            line = next(line for line in server.stderr if line.startswith("serving at "))
            port = int(line.rstrip("/\n").rpartition(":")[2])
            _, _, before = memory(server.pid)
            load = Load(port, photos, features, given.seconds)
            asyncio.run(attack(load, given.connections, server.pid, given.seed))
            time.sleep(1)
            deadline = time.monotonic() + 60
            while memory(server.pid)[2] > before and time.monotonic() < deadline:
                time.sleep(1)
            _, most, after = memory(server.pid)
            begun = time.monotonic()
        finally:
            server.terminate()
            status = server.wait(timeout=60)
    took = time.monotonic() - begun
    for name, count in sorted(load.counts.items()):
        print(f"{count:8} {name}")
    print(f"memory: {most:.0f} MB at most; a process that extracts the same pictures: {alone:.0f} MB")
    print(f"descriptors: {before} before, {after} after; stopped in {took:.1f} s with status {status}")
    faults = load.wrong[:20]
    faults += [f"{most - alone:.0f} MB more than extracting"] if most - alone > _MORE_MEGABYTES else []
    faults += [f"{after - before} descriptors more"] if after > before else []
    faults += ["it did not stop in time"] if took > _STOP_SECONDS or status else []
    for fault in faults:
        print(f"WRONG: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
