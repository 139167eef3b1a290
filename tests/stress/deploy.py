"""Interrupt `edgefeat deploy` at random moments: the board must run the old release or the new one, never half of one.

    python tests/stress/deploy.py [--rounds 20] [--seed 1]

The board is this machine behind a real SSH server. Each round deploys with another engine, so that everything is
installed anew, and ends it in one of three ways: Ctrl-C, SIGKILL, or the connection is cut at the server. After each,
what runs is verified; at the end an undisturbed deployment must succeed. Exit status: 0 good, 1 a round failed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runtime.deploy.boards import Board, Network, network

DATA = Path(__file__).parents[1] / "data"
ENGINES = ("litert", "onnxruntime")


def main() -> int:
    """Run the rounds and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder, network(Path(folder)) as hosts:
        board = hosts.board("board", home=Path(folder) / "a home")
        started = time.monotonic()
        done = hosts.deploy(*_words(ENGINES[0]), timeout=3600)
        if done.returncode:
            print(done.stderr)
            return 1
        whole = time.monotonic() - started
        print(f"undisturbed: {whole:.0f} s", flush=True)
        bad = 0
        for number in range(given.rounds):
            bad += not _round(number, hosts, board, chance, whole)
        done = hosts.deploy(*_words(ENGINES[1]), timeout=3600)
        print(f"undisturbed again: status {done.returncode}; {given.rounds - bad} passed, {bad} failed")
        return 1 if bad or done.returncode else 0


def _words(engine: str) -> list[str]:
    return [str(DATA / "one_tap.edgefeat"), "board", "--offline", "--engine", engine]


def _round(number: int, hosts: Network, board: Board, chance: random.Random, whole: float) -> bool:
    before = board.current
    _forget_the_others(board)
    engine = next(name for name in ENGINES if name != _engine(board))
    after, way = chance.uniform(0, 1.1 * whole), chance.choice(("interrupt", "kill", "cut"))
    command = [sys.executable, "-m", "edgefeat", "deploy", *_words(engine)]
    with subprocess.Popen(
        command, env=hosts.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        try:
            _, said = run.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            _end(run, way, hosts)
            _, said = run.communicate(timeout=600)
    steps = said.decode().strip().splitlines()
    subprocess.run(["flock", board.root / "lock", "true"], check=True, timeout=600)  # what runs there has ended
    verified = board.runs("verify", f"{board.root}/current/bundle").returncode == 0
    halves = [path for path in (board.root / "releases").iterdir() if not (path / "complete").exists()]
    good = verified and board.current is not None and not halves
    which = "old" if board.current == before else "new"
    print(
        f"{'ok  ' if good else 'FAIL'} {number}: {way} after {after:.1f} s at {steps[-1] if steps else 'the start'!r}: "
        f"{which}{', half a release is left' if halves else ''}",
        flush=True,
    )
    return good


def _end(run: subprocess.Popen[bytes], way: str, hosts: Network) -> None:
    if way == "cut":
        hosts.cut()
    else:
        os.killpg(run.pid, signal.SIGKILL if way == "kill" else signal.SIGINT)


def _engine(board: Board) -> str:
    settings = (board.root / "current" / "pack" / "pack.env").read_text()
    return "litert" if "pack_extras=litert" in settings else "onnxruntime"


def _forget_the_others(board: Board) -> None:
    """Remove all that does not run, so that the next deployment does everything."""
    current = board.root / "releases" / str(board.current)
    used = (current / "venv").readlink().name
    for path in [*(board.root / "releases").iterdir(), *(board.root / "environments").iterdir()]:
        if path.name not in (current.name, used):
            shutil.rmtree(path)


if __name__ == "__main__":
    sys.exit(main())
