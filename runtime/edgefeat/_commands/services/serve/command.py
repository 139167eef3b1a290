"""`edgefeat serve`: features over HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgefeat._commands.cli.click_options import add_option, given
from edgefeat._commands.cli.options import LIMIT_OPTIONS, choice_options, limits_of
from edgefeat._commands.cli.terminal import documented, echo, printable
from edgefeat._commands.services.serve.settings import SERVE_PIXELS, ServeLimits, ServeSettings
from edgefeat._errors import ArgumentError, MissingExtraError
from edgefeat._version import install_command

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])

_LIMITS = ServeLimits()
_MEGABYTE = 1_000_000


def _limit_options(function: F) -> F:
    for option in reversed(LIMIT_OPTIONS):
        if option.parameter == "max_pixels":
            option = option._replace(help=f"Refuse photos with more pixels than this.  [default: {SERVE_PIXELS}]")
        function = add_option(function, option)
    return function


@click.command("serve", short_help="Serve features over HTTP.", epilog=documented("serve"))
@click.argument("bundle", type=click.Path())
@click.option("--database", type=click.Path(), metavar="FILE.db", help="Also search this database, at /search.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="Port.  [0: any free one]")
@click.option("--unix", type=click.Path(), metavar="PATH", help="Listen on this Unix socket instead.")
@click.option("--token-file", type=click.Path(), metavar="FILE", help="Serve only clients that send this file's token.")
@click.option("--open", "is_open", is_flag=True, help="Serve everyone on the network, without a token.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Another name of this machine.")
@click.option(
    "--allow-origin", "origins", multiple=True, metavar="URL", help="Web site whose pages may use the server."
)
@choice_options
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.  [default: one per core, at most 4]")
@click.option("--exact", is_flag=True, help="Decode photos exactly as Keras does. This is slower.")
@_limit_options
@click.option(
    "--max-body",
    default=_LIMITS.body // _MEGABYTE,
    show_default=True,
    type=click.IntRange(1, 1000),
    metavar="MB",
    help="Largest request body. All bodies in memory together are limited to the same size, but at least 16 MB.",
)
@click.option(
    "--queue",
    default=_LIMITS.queue,
    show_default=True,
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Photos that may wait; others are answered with 503.",
)
@click.option(
    "--connections",
    default=_LIMITS.connections,
    show_default=True,
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Largest number of connections at a time.",
)
def command(
    bundle: str,
    database: str | None,
    host: str,
    port: int,
    unix: str | None,
    token_file: str | None,
    is_open: bool,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    variant: str | None,
    engine: str | None,
    threads: int | None,
    exact: bool,
    max_pixels: int | None,
    truncated: str,
    least_share: float | None,
    max_body: int,
    queue: int,
    connections: int,
) -> int:
    """Serve the features of BUNDLE over HTTP, and a page to try it, until Ctrl-C.

    \b
    Example: edgefeat serve mobilenet_v2.edgefeat --database features.db
             curl --data-binary @photo.jpg http://127.0.0.1:8765/features

    Only this machine can connect, unless you choose another --host. Then clients need the token in --token-file, or
    you allow everyone with --open.

    The page is at /, the description of the interface at /openapi.json.
    """
    if unix is not None and sys.platform == "win32":
        raise ArgumentError("--unix is not supported on Windows: use --host and --port")
    if unix is not None and (without := given("host", "port")):
        raise ArgumentError(f"{without[0]} has no effect with --unix: leave it out")
    if database is not None and not os.path.exists(database):
        echo(
            f"edgefeat: {printable(database)} does not exist yet: searches are answered with 503 until `edgefeat "
            "watch` or `edgefeat extract --into` has made it",
            err=True,
        )
    limits = limits_of(max_pixels or SERVE_PIXELS, truncated, least_share)
    body = max_body * _MEGABYTE
    settings = ServeSettings(
        bundle=bundle,
        database=None if database is None else Path(database),
        host=host,
        port=port,
        unix=None if unix is None else Path(unix),
        token_file=None if token_file is None else Path(token_file),
        open=is_open,
        hosts=hosts,
        origins=origins,
        variant=variant,
        engine=engine,
        threads=threads,
        decoding="exact" if exact else "fast",
        max_pixels=limits.max_pixels,
        least_share=limits.least_share,
        limits=ServeLimits(body=body, bodies=max(body, _LIMITS.bodies), queue=queue, connections=connections),
    )
    try:
        from edgefeat._commands.services.serve.server import serve
    except ImportError as error:
        if (error.name or "").startswith("edgefeat"):
            raise
        raise MissingExtraError(
            f"`edgefeat serve` requires other packages ({error.name} is missing): {install_command('serve')}"
        ) from None
    return serve(settings, lambda line: echo(printable(line), err=True))
