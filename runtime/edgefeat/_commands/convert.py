"""`edgefeat convert`: writes a feature database as a file for other programs."""

from __future__ import annotations

from collections.abc import Iterator

import click
import numpy as np
from numpy.typing import NDArray

from edgefeat._commands.cli.options import echo_json, json_option
from edgefeat._commands.cli.terminal import counted, documented, printable
from edgefeat._store.feature_files import write_features
from edgefeat._store.output import check_output
from edgefeat._store.reader import FeatureStore

__all__ = ["command"]

# Rows in memory at a time: about 10 MB of typical features.
_ROWS = 2048


@click.command(
    "convert",
    short_help="Write a feature database as .npz, .csv, .parquet and others.",
    epilog=documented("large-collections"),
)
@click.argument("database", type=click.Path())
@click.argument("output", type=click.Path())
@json_option
def command(database: str, output: str, as_json: bool) -> int:
    """Write the features in DATABASE, made by `edgefeat extract --into`, to OUTPUT.

    \b
    Example: edgefeat convert features.db features.parquet

    The format is chosen by the extension of OUTPUT: .npz, .npy, .csv, .jsonl or .parquet. Rows are sorted by path;
    photos that failed are left out. Only a few rows are in memory at a time.
    """
    with FeatureStore.open(database) as store:
        check_output(output, [tap.name for tap in store.taps])
        with store.snapshot():
            written = write_features(_Rows(store), output)
        count, failed = len(store), store.failed
    if as_json:
        echo_json({"rows": count, "failed": failed, "files": [str(path) for path in written]})
    else:
        left_out = f"; left out: {counted(failed, 'failed photo')}" if failed else ""
        click.echo(f"{counted(count, 'feature')} in {printable(' and '.join(map(str, written)))}{left_out}")
    return 0


class _Rows:
    """The rows of a database in the form that `write_features` takes."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._count = len(store)

    @property
    def bundle(self) -> str:
        return f"{self._store.identity.bundle} sha256:{self._store.identity.manifest_sha256}"

    @property
    def variant(self) -> str:
        return self._store.identity.variant

    @property
    def engine(self) -> str:
        return self._store.identity.engine

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {tap.name: tap.shape for tap in self._store.taps}

    def __len__(self) -> int:
        return self._count

    def tables(self) -> Iterator[tuple[list[str], dict[str, NDArray[np.float32]]]]:
        return self._store.chunks_by_tap(_ROWS)
