"""Extract features of a folder of photos on several machines, and lose one on the way.

    python examples/ray_cluster.py mobilenet_v2.edgefeat photos/ features/
    python examples/ray_cluster.py mobilenet_v2.edgefeat photos/ features/ --lose-one

The machines are simulated: each is a Ray node with its own processes and memory, but all of them run here. On a real
cluster keep `on_cluster` as it is. Use `ray.init("auto")` in place of the simulated machines, a bundle that all of
them can read, and folders of any store that Ray reads. Needs the extras `ray` and `litert`: see docs/install.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # otherwise Ray sends usage statistics to its makers
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import pyarrow.parquet
import ray
from ray.cluster_utils import Cluster

import edgefeat.ray
from edgefeat.ray import Extractor

SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]


class Noted(Extractor):
    """Record beside each row which machine computed it.

    While the file `hold` exists, the third batch waits, for half a minute at most: a machine is to be lost before all
    is done, however fast the machines are.
    """

    def __init__(self, bundle: str, *, hold: str = "", **options: Any) -> None:
        super().__init__(bundle, **options)
        self.hold, self.batches = hold, 0

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        self.batches += 1
        ends = time.monotonic() + 30
        while self.batches == 3 and os.path.exists(self.hold) and time.monotonic() < ends:
            time.sleep(0.05)
        features = super().__call__(batch)
        node = ray.get_runtime_context().get_node_id()
        return features.append_column("node", pyarrow.array([node] * len(features)))


def on_cluster(bundle: str, photos: str, output: str, *, workers: int, batch: int, hold: str = "") -> None:
    """Read the photos, extract on `workers` workers, and write Parquet."""
    files = ray.data.read_binary_files(
        photos, include_paths=True, file_extensions=SUFFIXES, override_num_blocks=8 * workers
    )
    here = edgefeat.load(bundle)  # all machines use the variant and engine chosen here, whatever is installed there
    features = files.map_batches(
        Noted,
        fn_constructor_args=[bundle],
        fn_constructor_kwargs={"variant": here.variant, "engine": here.engine, "hold": hold},
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_format="pyarrow",
        batch_size=batch,
        num_cpus=1,
    )
    features.write_parquet(output)


def lose_one(cluster: Cluster, output: Path, lost: list[str], hold: Path) -> None:
    """Kill the machine whose features were written first, and remove the file `hold`."""
    while not (nodes := [row["node"] for row in written(output)]):
        time.sleep(0.02)
    (machine,) = [node for node in cluster.worker_nodes if node.node_id == nodes[0]]
    cluster.remove_node(machine, allow_graceful=False)
    hold.unlink(missing_ok=True)
    lost.append(nodes[0])
    print(f"machine {nodes[0][:8]} was lost when {len(nodes)} photos were done", flush=True)


def written(output: Path) -> list[dict[str, str]]:
    """Return path, error and machine of each row in the complete Parquet files."""
    rows = []
    for file in sorted(output.glob("*.parquet")):
        try:
            rows += pyarrow.parquet.read_table(file, columns=["path", "error", "node"]).to_pylist()
        except (pyarrow.ArrowInvalid, OSError):
            continue  # still being written
    return rows


def main() -> int:
    """Start the machines, run, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path, help="a folder, searched with its subfolders")
    parser.add_argument("output", type=Path, help="a new folder for the Parquet files")
    parser.add_argument("--workers", type=int, default=3, help="machines to simulate (default: 3)")
    parser.add_argument("--batch", type=int, default=8, help="photos in a batch (default: 8)")
    parser.add_argument("--lose-one", action="store_true", help="kill one of them midway")
    given = parser.parse_args()
    if given.output.exists():
        parser.error(f"{given.output} exists already: name a new folder")
    bundle = edgefeat.Bundle.open(given.bundle)

    # Detect a lost machine after five seconds instead of Ray's fifteen.
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": {"health_check_period_ms": 1000}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(given.workers):
        cluster.add_node(num_cpus=2)  # one for the extractor, one to read and write
    lost: list[str] = []
    hold = Path(tempfile.mkdtemp(prefix="edgefeat-")) / "hold"
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False
        if given.lose_one:
            hold.touch()
            threading.Thread(target=lose_one, args=(cluster, given.output, lost, hold), daemon=True).start()
        folders = str(bundle.path.absolute()), str(given.photos.absolute()), str(given.output.absolute())
        on_cluster(*folders, workers=given.workers, batch=given.batch, hold=str(hold))
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(hold.parent)
    rows = written(given.output)
    for node, count in Counter(row["node"] for row in rows).items():
        print(f"machine {node[:8]}: {count} photos{' (then lost)' if node in lost else ''}")
    unread = sum(row["error"] is not None for row in rows)
    twice = len(rows) - len({row["path"] for row in rows})
    print(f"{len(rows)} rows, {unread} of them unreadable, {twice} doubled")
    return 0 if not twice else 1


if __name__ == "__main__":
    sys.exit(main())
