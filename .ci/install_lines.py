"""Write the install commands of README and docs for the version in `_version.py`: `make install-lines`.

While `PUBLISHED` there is false they install from the clone or from a wheel of that version. When it is true they
install from the package index, and the lines that build and copy a wheel are named, for a person to remove.

    python .ci/install_lines.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# An installation from a clone, `'.[litert]'`, or from a wheel, `'./edgefeat-0.1.0-py3-none-any.whl[litert]'`.
_LOCAL = re.compile(r"(pip install (?:-c \S+ )?)'(?:\./edgefeat-[^']*\.whl|\.)(\[[a-z,]+\])'")
_WHEEL = re.compile(r"edgefeat-[0-9][0-9a-z.]*-py3-none-any\.whl")


def written(page: str, version: str, published: bool) -> str:
    """Return the page with the install commands of that version."""
    if published:
        return _LOCAL.sub(r"\1'edgefeat\2'", page)
    return _WHEEL.sub(f"edgefeat-{version}-py3-none-any.whl", page)


def _version() -> tuple[str, bool]:
    facts: dict[str, object] = {}
    exec((ROOT / "runtime" / "edgefeat" / "_version.py").read_text(encoding="utf-8"), facts)
    return str(facts["__version__"]), bool(facts["PUBLISHED"])


def main(arguments: list[str]) -> int:
    """Return 1 with `--check` if a page differs from what would be written."""
    version, published = _version()
    status = 0
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        new = written(page, version, published)
        if new != page and "--check" in arguments:
            print(f"{path.relative_to(ROOT)} does not install edgefeat {version}: make install-lines")
            status = 1
        elif new != page:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} is rewritten")
        if published:
            for number, line in enumerate(new.splitlines(), 1):
                if _WHEEL.search(line) or "make wheel" in line:
                    print(f"{path.relative_to(ROOT)}:{number}: a wheel is no longer needed: {line.strip()}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
