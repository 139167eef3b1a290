"""Runs on x86: how far the features of an emulated board are from those of the same engine on x86.

    python comparison.py BOARD.npz X86.npz

Prints JSON: the worst of all pictures and taps for each engine and variant, and of all prepared pictures.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from numpy.typing import NDArray

_FLOAT, _COSINE = 1e-4, 0.999


def main(board: str, x86: str) -> None:
    """Prints it."""
    here, there = np.load(board), np.load(x86)
    if set(here.files) != set(there.files):
        raise SystemExit(f"not the same arrays: {sorted(set(here.files) ^ set(there.files))}")
    rows: dict[str, dict[str, object]] = {}
    for name in here.files:
        kind, first, second = name.split("/")[:3]
        if kind == "pictures":
            row = rows.setdefault("pictures", {"what": "prepared pictures", "difference": 0.0, "ok": True})
            difference = float(np.abs(here[name].astype(int) - there[name].astype(int)).max())
            row["difference"] = max(float(str(row["difference"])), difference)
            row["ok"] = row["ok"] and difference == 0
            continue
        row = rows.setdefault(
            f"{first}/{second}", {"engine": first, "variant": second, "difference": 0.0, "cosine": 1.0, "ok": True}
        )
        mine, reference = here[name], there[name]
        difference = float(np.abs(mine - reference).max())
        cosine = _least_cosine(mine, reference)
        row["difference"] = max(float(str(row["difference"])), difference)
        row["cosine"] = min(float(str(row["cosine"])), cosine)
        exact = second.endswith("float32")
        good = difference <= _FLOAT * max(1.0, float(np.abs(reference).max())) if exact else cosine >= _COSINE
        row["ok"] = row["ok"] and good
    print(json.dumps(list(rows.values())))


def _least_cosine(mine: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    one, other = (rows.reshape(len(rows), -1).astype(np.float64) for rows in (mine, reference))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    same = np.all(one == other, axis=1)  # of two zero features there is no angle
    return float(np.where(same, 1.0, (one * other).sum(axis=1) / np.where(lengths == 0, 1, lengths)).min())


if __name__ == "__main__":
    main(*sys.argv[1:])
