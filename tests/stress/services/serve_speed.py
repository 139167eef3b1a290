"""Compare `edgefeat serve` with `Extractor.stream`, in turns in one run: photos/s, and what HTTP adds to one photo.

    python tests/stress/services/serve_speed.py BUNDLE PHOTOS [--connections 8] [--rounds 5]

The clients share the processors with the server: plain sockets in one process, Python's own HTTP client for the single
photo. Exit status 1 if the server reaches less than 0.9 of the stream's photos/s, or adds more than 2 ms to one photo.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import multiprocessing.synchronize
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import edgefeat
from edgefeat._images.sources.folders import pictures_in

_LEAST_SHARE, _MOST_ADDED = 0.9, 2.0


@contextmanager
def served(bundle: str, *options: str) -> Iterator[int]:
    """Run the server and yield its port."""
    command = [sys.executable, "-m", "edgefeat", "serve", bundle, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            line = next(line for line in server.stderr if line.startswith("serving at "))
            yield int(line.rstrip("/\n").rpartition(":")[2])
        finally:
            server.terminate()
            server.wait(timeout=30)


def requests_of(photos: list[bytes]) -> list[bytes]:
    """Each photo as a whole HTTP request."""
    head = "POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(photo)).encode() + photo for photo in photos]


def client(port: int, requests: list[bytes]) -> None:
    """Send the requests over one connection. As little Python as possible: it shares the cores with the server."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for request in requests:
            connection.sendall(request)
            answer = bytearray()
            wanted = None
            while wanted is None or len(answer) < wanted:
                answer += connection.recv(1 << 16)
                if wanted is None and (end := answer.find(b"\r\n\r\n")) >= 0:
                    head = bytes(answer[:end]).lower()
                    assert head.startswith(b"http/1.1 200"), head
                    wanted = end + 4 + int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])


def load(port: int, requests: list[bytes], connections: int) -> float:
    """Return the photos/s of several connections in one process."""
    shares = [requests[number::connections] for number in range(connections)]
    threads = [threading.Thread(target=client, args=(port, share)) for share in shares]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(requests) / (time.perf_counter() - begun)


def stream(extractor: edgefeat.Extractor, photos: list[bytes]) -> float:
    """Return the photos/s of `Extractor.stream`."""
    begun = time.perf_counter()
    count = sum(1 for result in extractor.stream(photos) if result.feature is not None)
    return count / (time.perf_counter() - begun)


def one_by_one(extractor: edgefeat.Extractor, port: int, photos: list[bytes]) -> list[float]:
    """Return for each photo the milliseconds that HTTP adds to `Extractor.extract`."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    added = []
    for photo in photos:
        begun = time.perf_counter()
        extractor.extract(photo)
        between = time.perf_counter()
        connection.request("POST", "/features", photo)
        answer = connection.getresponse()
        json.loads(answer.read())
        assert answer.status == 200
        added.append(1000 * (time.perf_counter() - between - (between - begun)))
    return added


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=400, help="photos a round")
    given = parser.parse_args()
    paths = pictures_in(given.photos)
    photos = [Path(path).read_bytes() for path in paths[: given.count]]
    photos = (photos * (given.count // len(photos) + 1))[: given.count]
    requests = requests_of(photos)
    extractor = edgefeat.load(given.bundle)
    shares, added = [], []
    with served(given.bundle) as port:
        load(port, requests[:50], given.connections)
        stream(extractor, photos[:50])
        for number in range(given.rounds):
            rates = {}
            for name in ("stream", "serve") if number % 2 else ("serve", "stream"):
                if name == "stream":
                    rates[name] = stream(extractor, photos)
                else:
                    with multiprocessing.get_context("spawn").Pool(1) as pool:
                        rates[name] = pool.apply(load, (port, requests, given.connections))
            added += one_by_one(extractor, port, photos[:50])
            shares.append(rates["serve"] / rates["stream"])
            print(
                f"stream {rates['stream']:6.1f} photos/s   serve {rates['serve']:6.1f}   {shares[-1]:.3f}", flush=True
            )
    share, extra = statistics.median(shares), statistics.median(added)
    print(f"{given.connections} connections: {share:.3f} of stream's photos/s; one photo: {extra:+.2f} ms")
    return 0 if share >= _LEAST_SHARE and extra <= _MOST_ADDED else 1


if __name__ == "__main__":
    sys.exit(main())
