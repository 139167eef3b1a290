"""Exports by the command line, as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgefeat._commands.cli.terminal import reason

__all__ = ["export"]


def export(arguments: Sequence[str], bundle: Path) -> Path:
    """Export and return the bundle. Raises SystemExit with the reason if it was not written."""
    command = [sys.executable, "-m", "edgefeat", "export", *arguments, "-o", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (bundle / "manifest.json").exists():
        raise SystemExit(f"edgefeat export {' '.join(arguments)}: {reason(done.stderr)}")
    return bundle
