"""`edgefeat serve` as a process: sockets, ports, signals and the service manager."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.runtime.services.services import running, service_manager, wait_for
from tests.runtime.services.serving import Server, needs_serve, serving

pytestmark = needs_serve


def test_a_unix_socket_is_for_the_owner_and_the_group(one_tap: Path, tmp_path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no Unix sockets")
    path = tmp_path / "socket"
    for _ in range(2):  # the second time over what a killed server has left
        with running("serve", one_tap, "--unix", path) as service:
            service.said("serving at unix:")
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(path))
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert connection.makefile("rb").read().endswith(b'{"status":"ok"}')
            with running("serve", one_tap, "--unix", path) as other:
                assert other.process.wait(timeout=60) == 1
                other.said("in use by another server")


@pytest.mark.parametrize("option", [("--port", "8765"), ("--host", "127.0.0.1")])
def test_an_address_beside_a_unix_socket_is_refused(one_tap: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    with running("serve", one_tap, "--unix", tmp_path / "socket", *option) as service:
        assert service.process.wait(timeout=60) == 2
        service.said(f"{option[0]} has no effect with --unix: leave it out")


def test_sigterm_ends_the_server_during_an_upload(one_tap: Path) -> None:
    with serving(one_tap) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        idle = socket.create_connection(("127.0.0.1", server.port))
        assert server.ask("GET", "/health").status == 200  # so that the upload has begun
        assert server.service.stop() == 0
        assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")
        idle.close()
        assert server.service.count("Traceback") == 0


def test_sigterm_ends_the_server_during_a_search(one_tap: Path, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(photo)
    database, slow = tmp_path / "features.db", tmp_path / "slow"
    extract = ["extract", str(one_tap), str(tmp_path / "photos"), "--into", str(database)]
    subprocess.run([sys.executable, "-m", "edgefeat", *extract], check=True, capture_output=True)
    slow.mkdir()
    # A database of so many photos that a search takes ten minutes.
    (slow / "sitecustomize.py").write_text(
        "import pathlib, time\n"
        "import edgefeat._search.search as module\n"
        "def search(*arguments, **options):\n"
        f"    pathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
        "    time.sleep(600)\n"
        "module.search = search\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(slow), os.environ.get("PYTHONPATH")]))}
    with serving(one_tap, "--database", database, env=environment) as server:
        asking = threading.Thread(target=_ask_for_neighbours, args=(server, photo))
        asking.start()
        wait_for((tmp_path / "begun").exists)
        assert server.service.stop() == 0
        asking.join()
        assert server.service.count("Traceback") == 0


def _ask_for_neighbours(server: Server, photo: bytes) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):  # the server ends before it answers
        server.ask("POST", "/search", photo)


def test_a_request_under_way_is_answered_before_the_server_ends(one_tap: Path, photo: bytes) -> None:
    with serving(one_tap) as server:
        statuses = []

        def ask() -> None:
            with contextlib.suppress(OSError):  # the server has ended
                while True:
                    statuses.append(server.ask("POST", "/features", photo).status)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(statuses) < 20:
            server.ask("GET", "/health")
        assert server.service.stop() == 0
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}


def test_the_service_manager_is_told(one_tap: Path, tmp_path: Path) -> None:
    with service_manager(tmp_path) as (manager, environment), serving(one_tap, env=environment) as server:
        heard: set[str] = set()
        while not {"READY=1", "WATCHDOG=1"} <= heard:
            heard |= set(manager.recv(4096).decode().splitlines())
        server.service.process.terminate()
        while "STOPPING=1" not in heard:
            heard |= set(manager.recv(4096).decode().splitlines())


def test_a_port_in_use_is_named(one_tap: Path, server: Server) -> None:
    with running("serve", one_tap, "--port", str(server.port)) as service:
        assert service.process.wait(timeout=60) == 1
        service.said(f"port {server.port} of 127.0.0.1 cannot be used")
