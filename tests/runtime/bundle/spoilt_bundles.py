"""A bundle that is whole, and whose golden features are not those that its files give.

python spoilt_bundles.py BUNDLE SPOILT
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np

from edgefeat._bundle.golden import Golden, read_golden, write_golden
from edgefeat._bundle.reader import Bundle

__all__ = ["spoil"]


def spoil(bundle: Path, spoilt: Path) -> Path:
    """Write a copy of the bundle, with the golden features of every variant reversed."""
    golden = read_golden(Bundle.open(bundle))
    features = {
        origin: {tap: np.ascontiguousarray(feature[..., ::-1]) for tap, feature in by_tap.items()}
        for origin, by_tap in golden.features.items()
    }
    data = write_golden(Golden(golden.pictures, features))
    shutil.copytree(bundle, spoilt)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["golden"] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (spoilt / manifest["golden"]["name"]).write_bytes(data)
    (spoilt / "manifest.json").write_text(json.dumps(manifest))
    return spoilt


if __name__ == "__main__":
    spoil(Path(sys.argv[1]), Path(sys.argv[2]))
