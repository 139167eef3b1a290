"""`edgefeat deploy`: a bundle on boards, by SSH."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict

import click

from edgefeat._bundle.reader import Bundle
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented, printable
from edgefeat._commands.deploy.deployment import Action, HostReport, Request, deploy
from edgefeat._commands.deploy.services import Service, parse_service
from edgefeat._errors import ArgumentError

__all__ = ["command"]


@click.command(
    "deploy", short_help="Put a bundle on boards by SSH, check and measure it there.", epilog=documented("deploy")
)
@click.argument("bundle_and_hosts", nargs=-1, required=True, metavar="[BUNDLE] HOST...")
@click.option("--offline", is_flag=True, help="Copy all packages too, for boards without a network.")
@click.option("--engine", metavar="NAME", help="Engine to install.  [default: litert, on 32 bits tflite-runtime]")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="COMMAND",
    help="Keep this running, such as 'watch ~/incoming --into ~/photos.db' or 'serve'. Repeatable.  [default: as "
    "before]",
)
@click.option("--no-service", is_flag=True, help="Remove the services.")
@click.option("--rollback", is_flag=True, help="Go back to what ran before. Takes no BUNDLE.")
@click.option("--remove", is_flag=True, help="Remove edgefeat and its services. Takes no BUNDLE. Databases stay.")
@click.option("--ssh-option", "options", multiple=True, metavar="OPTION", help="An -o option for ssh. Repeatable.")
@click.option("--fresh", is_flag=True, help="Ask the package index again instead of reusing the last run's wheels.")
@json_option
def command(
    bundle_and_hosts: tuple[str, ...],
    offline: bool,
    engine: str | None,
    services: tuple[str, ...],
    no_service: bool,
    rollback: bool,
    remove: bool,
    options: tuple[str, ...],
    fresh: bool,
    as_json: bool,
) -> int:
    """Install BUNDLE on each HOST (NAME or USER@NAME, as for ssh), check it there and time it.

    \b
    Example:
      edgefeat deploy mobilenet_v2.edgefeat pi@raspberrypi.local
      edgefeat deploy mobilenet_v2.edgefeat pi@one pi@two --service 'watch ~/incoming --into ~/photos.db'
      edgefeat deploy --rollback pi@raspberrypi.local

    The board needs Python 3.11 or newer and an SSH server. A new version is installed beside the old one and takes its
    place only if its features equal those of Keras there. What is there already is not copied again.
    """
    if rollback and remove:
        raise ArgumentError("--rollback and --remove exclude each other: give one")
    action: Action = "rollback" if rollback else "remove" if remove else "install"
    hosts = bundle_and_hosts if action != "install" else _hosts(*bundle_and_hosts)
    chosen = _services(services, no_service)
    if action != "install" and (offline or engine or chosen is not None or fresh):
        raise ArgumentError(f"--{action} takes only hosts: leave out the other options")
    bundle = Bundle.open(bundle_and_hosts[0]) if action == "install" else None
    request = Request(action, bundle, engine, offline, chosen, fresh)
    reports = deploy(
        tuple(dict.fromkeys(hosts)),
        request,
        options=[word for option in options for word in ("-o", option)],
        tell=_tell,
    )
    if as_json:
        echo_json({"ok": all(report.error is None for report in reports), "hosts": [asdict(one) for one in reports]})
    else:
        _echo(reports, action)
    return 0 if all(report.error is None for report in reports) else 1


def _hosts(bundle: str, *hosts: str) -> tuple[str, ...]:
    """Return the hosts that follow the bundle. Raises ArgumentError if only one of the two was given."""
    if hosts:
        return hosts
    if os.path.exists(bundle) or bundle.endswith(".edgefeat"):
        raise ArgumentError(f"no host: edgefeat deploy {shlex.quote(bundle)} USER@HOST")
    if "@" in bundle:
        raise ArgumentError(f"no bundle: edgefeat deploy BUNDLE {shlex.quote(bundle)}")
    raise ArgumentError(f"{bundle} alone is not enough: edgefeat deploy BUNDLE USER@HOST")


def _services(texts: tuple[str, ...], none: bool) -> tuple[Service, ...] | None:
    """Return the services that were asked for, or None to keep those on the board."""
    if none and texts:
        raise ArgumentError("--service and --no-service exclude each other: give one")
    found = tuple(parse_service(text) for text in texts)
    if len({service.command for service in found}) < len(found):
        raise ArgumentError("--service names a command twice (allowed: one watch and one serve)")
    return found if found or none else None


def _tell(host: str, text: str) -> None:
    """Print a step of a host at once, on standard error."""
    click.echo(f"{printable(host)}: {printable(text)}", err=True)


def _echo(reports: list[HostReport], action: Action) -> None:
    good = [report for report in reports if report.error is None]
    if action != "remove" and good:
        head = ("host", "board", "system", "bundle", "variant", "engine", "ms a photo", "photos/s", "MB", "degrees C")
        echo_table(head, [_row(report) for report in good])
    for report in good:
        for name, state in report.services:
            click.echo(f"{report.host}: service {name} is {state}")
        for line in report.journal:
            click.echo(f"{report.host}: {printable(line)}")
    for report in reports:
        if report.error is not None:
            click.echo(f"edgefeat: {printable(report.host)}: {printable(report.error)}", err=True)
    sys.stdout.flush()


def _row(report: HostReport) -> tuple[str, ...]:
    return (
        report.host,
        report.board or "-",
        report.system or "-",
        report.bundle or "-",
        report.variant or "-",
        f"{report.engine or '-'} {report.engine_version or ''}".strip(),
        _number(report.milliseconds, 1),
        _number(report.photos_per_second, 1),
        _number(None if report.memory is None else report.memory / 1e6, 0),
        _number(report.temperature, 1),
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
