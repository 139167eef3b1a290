"""The tests that wait for processes, servers and files, again and again beside busy loops: `make test-waiting`.

`python tests/stress/waiting.py [--runs 10] [--loops 2] MODULE...` keeps that many processes busy, runs pytest on the
modules that often, and names the tests that failed. A test that fails here assumes a speed instead of waiting for an
event. Exit status 1 where one failed.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BUSY = "while True: pass"


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep processors busy until the end of the block."""
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def failed_tests(modules: list[str], arguments: list[str]) -> list[str]:
    """Run pytest once and return the names of the tests that failed, or how it ended if it ran none."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--no-header", *arguments, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    print(lines[-1] if lines else done.stderr.strip()[-200:], flush=True)
    failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return failed or ([f"pytest, with exit status {done.returncode}"] if done.returncode else [])


def main() -> int:
    """Run the modules beside the loops and print what failed how often."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="+", metavar="MODULE")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--numprocesses", default="4", help="of pytest")
    given = parser.parse_args()
    failures: Counter[str] = Counter()
    with busy(given.loops):
        for _ in range(given.runs):
            failures.update(failed_tests(given.modules, ["--numprocesses", given.numprocesses]))
    for name, count in failures.most_common():
        print(f"failed in {count} of {given.runs} runs: {name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
