"""x"""

import click


@click.command("watch")
def command() -> int:
    return 0
