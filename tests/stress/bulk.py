"""Being rough with `edgefeat extract --into`, and comparing every row with those of an uninterrupted run, by hash.

    python tests/stress/bulk.py BUNDLE PHOTOS --work FOLDER --kills 200 --damages 40 --full 20 --worker-kills 100

kill -9 at random points, the journal or the database cut, zeroed, overwritten or removed after it, a disk that fills up
(a limit on the file's size), workers killed. Prints one line of JSON a trial and a summary; exit status 1 where a row
was lost, doubled or altered.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
_WHOLE_RUN = 3600


def rows_by_hash(database: Path) -> dict[str | bytes, str]:
    """A hash of everything a row says, by path. Fails on a path that is there twice."""
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found: dict[str | bytes, str] = {}
    for path, *rest in connection.execute(
        "SELECT path, size, mtime_ns, sha256, status, error, scales, data FROM photos LEFT JOIN features ON photo = id"
    ):
        assert path not in found
        found[path] = hashlib.sha256(repr(rest).encode()).hexdigest()
    (orphans,) = connection.execute(
        "SELECT count(*) FROM features WHERE photo NOT IN (SELECT id FROM photos)"
    ).fetchone()
    assert orphans == 0
    connection.close()
    return found


def differences(found: dict[str | bytes, str], expected: dict[str | bytes, str]) -> dict[str, int]:
    """How many rows are lost, too many, or altered."""
    common = found.keys() & expected.keys()
    return {
        "lost": len(expected.keys() - found.keys()),
        "extra": len(found.keys() - expected.keys()),
        "altered": sum(found[path] != expected[path] for path in common),
    }


class Rough:
    """The trials on one bundle and one folder of photos."""

    def __init__(self, bundle: Path, photos: Path, work: Path, options: list[str], seed: int) -> None:
        self.bundle, self.photos, self.work, self.options = bundle, photos, work, options
        self.chance = random.Random(seed)
        self.bad = 0

    def start(self, database: Path, limit: int | None = None, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """A run in a process group of its own; with `limit`, no file of it may grow beyond so many bytes."""
        command = [sys.executable, "-m", "edgefeat", "extract", str(self.bundle), str(self.photos)]
        return subprocess.Popen(
            [*command, "--into", str(database), "--json", *self.options, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=_ENVIRONMENT,
            preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )

    def finish(self, database: Path) -> str:
        """Runs to the end; what it said on standard error."""
        _, said = self.start(database).communicate(timeout=_WHOLE_RUN)
        return said.decode(errors="replace")

    def fresh(self, name: str) -> Path:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder / "features.db"

    def compare(self, kind: str, database: Path, expected: dict[str | bytes, str], **facts: object) -> None:
        difference = differences(rows_by_hash(database), expected)
        left = sorted(path.name for path in database.parent.iterdir())
        wrong = any(difference.values()) or left != ["features.db"]
        self.bad += wrong
        print(json.dumps({"trial": kind, **facts, **difference, "left": left, "wrong": wrong}), flush=True)

    def reference(self) -> tuple[dict[str | bytes, str], float]:
        """The rows of an uninterrupted run, and its seconds."""
        database = self.fresh("reference")
        begun = time.monotonic()
        self.finish(database)
        return rows_by_hash(database), time.monotonic() - begun

    def kill(self, database: Path, longest: float) -> bool:
        """Starts a run and kills it at a random moment; False where it had ended before."""
        process = self.start(database)
        try:
            process.wait(self.chance.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)  # the run alone: its workers must notice by themselves
            process.communicate()
            return True
        process.communicate()
        return False

    def kills(self, count: int, seconds: float, expected: dict[str | bytes, str], damage: bool) -> None:
        """`count` kills, spread over as many whole extractions as that takes."""
        kind = "damage" if damage else "kill"
        done = 0
        while done < count:
            database = self.fresh(kind)
            here, damaged = 0, []
            while done < count and self.kill(database, self.chance.choice((1.0, 2.5, seconds / 3))):
                done += 1
                here += 1
                if damage and database.exists():
                    damaged.append(self.damage(database))
            said = self.finish(database)
            if "move it away" in said:  # so damaged that it says so: it must be the user who decides
                database.unlink()
                self.finish(database)
                damaged.append("began anew, as told")
            self.compare(kind, database, expected, kills=here, damaged=damaged)

    def damage(self, database: Path) -> str:
        """Cuts, zeroes, overwrites or removes a part of the journal, or more seldom of the database itself."""
        journal = Path(f"{database}-wal")
        target = journal if journal.exists() and self.chance.random() < 0.7 else database
        size = target.stat().st_size
        if size == 0:
            return "nothing"
        kind = self.chance.choice(("cut", "zero", "noise", "remove") if target == journal else ("zero", "noise", "cut"))
        start = self.chance.randrange(size)
        if target == database:
            start = max(start, min(100, size - 1))  # a file without its header is nobody's to mend
        length = min(self.chance.choice((1, 100, 4096, 60000)), size - start)
        if kind == "remove":
            target.unlink()
        elif kind == "cut":
            os.truncate(target, start)
        else:
            with open(target, "r+b") as stream:
                stream.seek(start)
                stream.write(b"\0" * length if kind == "zero" else self.chance.randbytes(length))
        return f"{kind} {target.name} at {start} of {size}"

    def full(self, count: int, expected: dict[str | bytes, str]) -> None:
        """The file may not grow beyond random sizes, then it may."""
        whole = (self.work / "reference" / "features.db").stat().st_size
        for _ in range(count):
            database = self.fresh("full")
            statuses = []
            for _ in range(3):
                process = self.start(database, self.chance.randrange(1, whole + whole // 4))
                _, said = process.communicate(timeout=_WHOLE_RUN)
                statuses.append((process.returncode, said.decode(errors="replace").strip().splitlines()[-1:]))
                assert "Traceback" not in said.decode(errors="replace"), said
            self.finish(database)
            self.compare("full", database, expected, statuses=statuses)

    def worker_kills(self, count: int, expected: dict[str | bytes, str]) -> None:
        """Workers are killed while the run goes on."""
        done = 0
        while done < count:
            database = self.fresh("workers")
            process = self.start(database)
            here = 0
            while process.poll() is None:
                time.sleep(self.chance.uniform(0.2, 1.5))
                children = _children(process.pid)
                if children and done < count:
                    os.kill(self.chance.choice(children), self.chance.choice((signal.SIGKILL, signal.SIGSEGV)))
                    done += 1
                    here += 1
            process.communicate()
            # A photo whose worker was killed, by chance, again when it was tried alone: that is told apart from harm.
            unlucky = _unlucky(database)
            if unlucky:
                self.start(database, options=("--retry-failed",)).communicate(timeout=_WHOLE_RUN)
            self.compare("worker-kill", database, expected, kills=here, killed_twice=unlucky)


def _unlucky(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM photos WHERE error LIKE 'quarantined:%'").fetchone()
    return int(count)


def _children(parent: int) -> list[int]:
    said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    return [int(number) for number in said.stdout.split()]


def main() -> int:
    """Every trial asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    for name in ("kills", "damages", "full", "worker-kills"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--options", default="", help="more options of `edgefeat extract`, in one argument")
    given = parser.parse_args()
    rough = Rough(given.bundle, given.photos, given.work, given.options.split(), given.seed)
    expected, seconds = rough.reference()
    print(json.dumps({"trial": "reference", "rows": len(expected), "seconds": round(seconds, 1)}), flush=True)
    rough.kills(given.kills, seconds, expected, damage=False)
    rough.kills(given.damages, seconds, expected, damage=True)
    rough.full(given.full, expected)
    rough.worker_kills(given.worker_kills, expected)
    print(json.dumps({"wrong": rough.bad}))
    return 1 if rough.bad else 0


if __name__ == "__main__":
    sys.exit(main())
