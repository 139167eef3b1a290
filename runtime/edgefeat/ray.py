"""Features on a cluster, with Ray Data's `map_batches`.

    photos = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
    features = photos.map_batches(
        edgefeat.ray.Extractor,
        fn_constructor_args=["mobilenet_v2.edgefeat"],
        batch_format="pyarrow",
        batch_size=64,
        concurrency=8,
    )
    features.write_parquet("s3://bucket/features")

Ray starts the workers, distributes the batches and repeats those of a lost worker. It requires
the extra `ray`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError
from edgefeat._extractor import load
from edgefeat._images.form import Decoding
from edgefeat._images.limits import MAX_PIXELS

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Extractor"]


class Extractor:
    """Extracts features from batches of images. Each worker loads the bundle once.

    Columns of a batch, by parameter:

    picture: the input: encoded files, paths that every worker can open, or (in NumPy batches) uint8 arrays.
        Not in the output unless `keep_picture`.
    features: float32 (D,); with several taps one column `<features>/<tap>` for each. Unpooled features are flattened.
        If the image cannot be read: null in Arrow batches, NaN in NumPy batches.
    error: why the image cannot be read, else null. An unreadable image does not stop the run.
    origin: the bundle, variant and engine. Workers with other engines installed would use those and give slightly
        different features: set `variant` and `engine` if the workers may differ.

    `bundle` is a folder that every worker can read. The other parameters are those of `edgefeat.load`, with one thread
    for each image because Ray starts one worker a core.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        picture: str = "bytes",
        features: str = "features",
        error: str = "error",
        origin: str = "origin",
        keep_picture: bool = False,
        variant: str | None = None,
        engine: str | None = None,
        threads: int = 1,
        decoding: Decoding = "fast",
        max_pixels: int = MAX_PIXELS,
        least_share: float = 1.0,
    ) -> None:
        self._extractor = extractor = load(
            bundle,
            variant=variant,
            engine=engine,
            threads=threads,
            decoding=decoding,
            max_pixels=max_pixels,
            least_share=least_share,
        )
        self._picture, self._error, self._origin = picture, error, origin
        self._keep_picture = keep_picture
        taps = extractor.taps
        names = [features] if len(taps) == 1 else [f"{features}/{tap.name}" for tap in taps]
        self._widths = {name: int(np.prod(tap.shape)) for name, tap in zip(names, taps, strict=True)}
        added = [*names, error, origin]
        if twice := [name for name in added if added.count(name) > 1]:
            raise ArgumentError(f"two new columns are named {twice[0]!r}: rename one with features=, error= or origin=")
        manifest = extractor.bundle.manifest.name
        self._about = f"{manifest} sha256:{extractor.bundle.identity} {extractor.variant} {extractor.engine}"

    def __call__(self, batch: dict[str, Any] | pyarrow.Table) -> dict[str, Any] | pyarrow.Table:
        """Return the batch with the feature columns added, rows in the same order.

        Raises ArgumentError if the batch lacks the image column or already has one of the new columns.
        """
        if isinstance(batch, dict):
            self._check(list(batch))
            features, errors = self._run(list(batch[self._picture]))
            kept = batch if self._keep_picture else {name: batch[name] for name in batch if name != self._picture}
            origins = np.full(len(errors), self._about, object)
            return {**kept, **features, self._error: np.array(errors, object), self._origin: origins}
        if not hasattr(batch, "column_names"):
            raise ArgumentError(
                f"a batch of {type(batch).__name__} cannot be read (allowed: batch_format='pyarrow' or 'numpy')"
            )
        return self._table(batch)

    def _table(self, batch: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        self._check(batch.column_names)
        column = batch.column(self._picture)
        if isinstance(column.type, pyarrow.BaseExtensionType):
            raise ArgumentError(f"column {self._picture!r} contains arrays: they require batch_format='numpy'")
        features, errors = self._run(column.to_pylist())
        unread = pyarrow.array([error is not None for error in errors], pyarrow.bool_())
        table = batch if self._keep_picture else batch.drop_columns([self._picture])
        for name, rows in features.items():
            values = pyarrow.array(rows.ravel())
            table = table.append_column(
                name, pyarrow.FixedSizeListArray.from_arrays(values, self._widths[name], mask=unread)
            )
        table = table.append_column(self._error, pyarrow.array(errors, pyarrow.string()))
        return table.append_column(self._origin, pyarrow.array([self._about] * len(errors), pyarrow.string()))

    def _check(self, columns: list[str]) -> None:
        if self._picture not in columns:
            raise ArgumentError(
                f"the batch has no column {self._picture!r} (it has: {', '.join(columns)}): choose "
                "the image column with picture="
            )
        for name in (*self._widths, self._error, self._origin):
            if name in columns:
                raise ArgumentError(f"the batch has a column {name!r} already: choose another name for the new one")

    def _run(self, pictures: list[Any]) -> tuple[dict[str, NDArray[np.float32]], list[str | None]]:
        """Return the rows (N, D) of each output column, and for each image why it could not be read, or None."""
        features = {name: np.full((len(pictures), width), np.nan, np.float32) for name, width in self._widths.items()}
        errors: list[str | None] = []
        for row, extraction in enumerate(self._extractor.stream(pictures)):
            errors.append(None if extraction.error is None else str(extraction.error))
            if isinstance(extraction.feature, dict):
                for rows, feature in zip(features.values(), extraction.feature.values(), strict=True):
                    rows[row] = feature.ravel()
            elif extraction.feature is not None:
                (rows,) = features.values()
                rows[row] = extraction.feature.ravel()
        return features, errors
