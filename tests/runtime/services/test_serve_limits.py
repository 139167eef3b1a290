"""`edgefeat serve`: bodies, photos and clients outside the limits are refused and cost only themselves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runtime.services.services import wait_for
from tests.runtime.services.serving import Answer, Server, bomb, multipart, needs_serve, serving

pytestmark = needs_serve


def test_what_is_no_picture_within_the_limits_is_refused_with_its_reason(server: Server, photo: bytes) -> None:
    for body, said in (
        (b"words", "not an image in a supported format"),
        (photo[: len(photo) // 2], "truncated"),
        (bomb(8000), "8000x8000 pixels"),
    ):
        answer = server.ask("POST", "/features", body)
        assert answer.status == 422
        assert said in answer.json["error"]


def test_a_picture_between_the_small_and_the_large_limit_is_read(server: Server) -> None:
    assert server.ask("POST", "/features", bomb(3000)).status == 200


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (400, b"", {}, "the body is empty"),
        (415, b"x", {"Content_Encoding": "gzip"}, "compressed"),
        (413, b"x" * 2_000_001, {}, "too large"),
        (400, b"--limit\r\n", {"Content_Type": "multipart/form-data; boundary=limit"}, "multipart"),
        (415, b"x", {"Content_Type": "multipart/mixed; boundary=limit"}, "multipart/form-data"),
        (400, b"--limit--\r\n", {"Content_Type": "multipart/form-data; boundary=limit"}, "no picture"),
        (413, multipart(**{str(n): b"x" for n in range(40)})[0], {"Content_Type": multipart()[1]}, "too many parts"),
        (
            400,
            b"--limit\r\nX: " + b"a" * 9000 + b"\r\n\r\n\r\n--limit--",
            {"Content_Type": multipart()[1]},
            "",
        ),
    ],
)
def test_a_body_outside_the_limits_is_refused(
    one_tap: Path, status: int, body: bytes, headers: dict[str, str], said: str, small: Server
) -> None:
    answer = small.ask("POST", "/features", body, **headers)
    assert answer.status == status
    assert said in answer.json["error"]


@pytest.fixture(scope="module")
def small(one_tap: Path) -> Iterator[Server]:
    """A server with low limits."""
    with serving(one_tap, "--max-body", "2", "--queue", "1", "--connections", "12") as one:
        yield one


def test_a_body_without_a_length_is_limited_too(small: Server) -> None:
    chunks = b"40000\r\n" + bytes(0x40000) + b"\r\n"
    head = b"POST /features HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = small.raw(head + 9 * chunks + b"0\r\n\r\n", silence=30, until=b"\r\n")
    assert b" 413 " in answer.split(b"\r\n")[0]


def test_a_full_queue_is_answered_with_retry_after(small: Server) -> None:
    answers: list[Answer] = []
    picture = bomb(3000)

    def ask() -> None:
        answers.append(small.ask("POST", "/features", picture))

    def many() -> bool:
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return any(answer.status == 503 for answer in answers)

    wait_for(many)
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"1"}


def test_more_pictures_than_the_queue_has_places_come_in_one_request(small: Server) -> None:
    body, kind = multipart(**{str(number): bomb(1000) for number in range(16)})
    answer = small.ask("POST", "/features", body, Content_Type=kind)
    assert answer.status == 200
    assert len(answer.json["photos"]) == 16


def test_silent_connections_do_not_keep_others_out(small: Server, photo: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(40):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", small.port)))
            if number % 2:
                connection.sendall(b"POST /features HTTP/1.1\r\nHo")
        assert small.ask("POST", "/features", photo).status == 200


def test_an_upload_that_stalls_gives_its_memory_to_others(server: Server, photo: bytes) -> None:
    with contextlib.ExitStack() as stack:
        stalled = []
        for _ in range(25):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            connection.sendall(b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n")
            connection.sendall(bytes(650_000))
            stalled.append(connection)
        body = photo + bytes(1_500_000)
        wait_for(lambda: server.ask("POST", "/features", body).status == 200)  # once the others are silent for a while
        assert b" 503 " in stalled[0].recv(4096)
