"""`edgefeat verify`: checks that this machine reproduces the bundle's features."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgefeat._bundle.reader import Bundle
from edgefeat._commands.cli.options import choice_options, echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat._engines.verification import verify

__all__ = ["command"]


@click.command(
    "verify", short_help="Check that this machine reproduces a bundle's features.", epilog=documented("fidelity")
)
@click.argument("bundle", type=click.Path())
@choice_options
@json_option
def command(bundle: str, variant: str | None, engine: str | None, as_json: bool) -> int:
    """Check every file of BUNDLE and compare its golden features with those of each installed engine."""
    opened = Bundle.open(bundle)
    checks = verify(opened, variant=variant, engine=engine)
    good = all(check.status == "ok" for check in checks)
    if as_json:
        echo_json({"ok": good, "checks": [asdict(check) for check in checks]})
        return 0 if good else 1
    echo_table(
        ("variant", "engine", "version", "largest difference", "cosine", "cosine to Keras", "status"),
        [
            (
                check.variant,
                check.engine,
                check.engine_version,
                _figure(check.difference, ".1e"),
                _figure(check.cosine, ".6f"),
                _figure(check.keras_cosine, ".6f"),
                f"{check.status}: {check.detail}" if check.detail else check.status,
            )
            for check in checks
        ],
    )
    if not good:
        click.echo("edgefeat: features on this machine differ from the bundle's", err=True)
    return 0 if good else 1


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
