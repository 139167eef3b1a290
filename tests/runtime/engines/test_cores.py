"""How many cores and how much memory there are to use: quotas and limits of cgroups, affinity, PYTHON_CPU_COUNT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import tuned_file
from edgefeat._engines.device.cgroup import cpu_quota, memory_limit

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

V2 = "35 30 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = (
    "36 31 0:32 {base} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "37 31 0:33 {base} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "38 31 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd"
)


@pytest.fixture
def system(tmp_path: Path) -> Callable[[str, str, Mapping[str, str]], str]:
    """A folder that looks like the root of a Linux whose process is in `group`."""

    def make(group: str, mounts: str, files: Mapping[str, str]) -> str:
        for name, text in {"proc/self/cgroup": group, "proc/self/mountinfo": mounts, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return str(tmp_path)

    return make


Make = Callable[[str, str, Mapping[str, str]], str]


def test_version_2_in_a_container(system: Make) -> None:
    files = {"sys/fs/cgroup/cpu.max": "150000 100000", "sys/fs/cgroup/memory.max": "314572800"}
    root = system("0::/", V2, files)
    assert cpu_quota(root) == 1.5
    assert memory_limit(root) == 314_572_800


def test_version_2_nested_the_least_counts(system: Make) -> None:
    files = {
        "sys/fs/cgroup/a/cpu.max": "200000 100000",
        "sys/fs/cgroup/a/b/cpu.max": "max 100000",
        "sys/fs/cgroup/a/b/c/cpu.max": "800000 100000",
        "sys/fs/cgroup/a/memory.max": "max",
        "sys/fs/cgroup/a/b/memory.high": "500",
        "sys/fs/cgroup/a/b/memory.max": "900",
    }
    root = system("0::/a/b/c", V2, files)
    assert cpu_quota(root) == 2
    assert memory_limit(root) == 500


def test_version_1_named_from_outside_the_container(system: Make) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000",
    }
    group = "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc"
    for base in ("/docker/abc", "/"):
        root = system(group, V1.format(base=base), files)
        cpu_quota.cache_clear()
        memory_limit.cache_clear()
        assert (cpu_quota(root), memory_limit(root)) == (0.5, 1_000_000)


def test_version_1_without_limits(system: Make) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    root = system("11:memory:/\n4:cpu,cpuacct:/\n0::/", V1.format(base="/"), files)
    assert (cpu_quota(root), memory_limit(root)) == (None, None)


def test_a_system_without_groups(system: Make) -> None:
    root = system("", "", {})
    assert (cpu_quota(root), memory_limit(root)) == (None, None)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=30))
def test_whatever_the_files_hold_no_limit_is_made_up(group: str, mounts: str, value: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        for name, text in (("proc/self/cgroup", group), ("proc/self/mountinfo", V2 + "\n" + mounts)):
            (Path(root) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(root) / name).write_text(text, "utf-8")
        (Path(root) / "sys/fs/cgroup").mkdir(parents=True)
        (Path(root) / "sys/fs/cgroup/cpu.max").write_text(value, "utf-8")
        quota = cpu_quota(root)
        assert quota is None or quota > 0
        assert memory_limit(root) is None


IN_GROUP = """
import edgefeat._engines.device.cgroup as groups, json, sys
groups.cpu_quota.__wrapped__.__defaults__ = groups.memory_limit.__wrapped__.__defaults__ = (sys.argv[1],)
from edgefeat._bulk.options import default_memory, default_workers
from edgefeat._engines.device.cores import cores
from edgefeat._images.limits import Limits
from edgefeat._engines.selection import default_threads
print(json.dumps([str(cores()), default_threads(), default_workers(), default_memory(Limits(), default_workers())]))
"""


def test_threads_workers_and_their_memory_follow_the_group(system: Make) -> None:
    root = system("0::/", V2, {"sys/fs/cgroup/cpu.max": "50000 100000", "sys/fs/cgroup/memory.max": "314572800"})
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_CPU_COUNT"}
    command = [sys.executable, "-c", IN_GROUP, root]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment)
    said, threads, workers, memory = json.loads(done.stdout)
    present = os.cpu_count()
    assert said == f"1 of {present} core{'s' if present != 1 else ''}: cgroup quota of 0.5"
    assert (threads, workers) == (1, 1)
    assert 200_000_000 < memory < 300_000_000


def test_info_says_what_may_be_used_and_why(edgefeat_command: Run) -> None:
    environment = {**os.environ, "PYTHON_CPU_COUNT": "3"}
    done = edgefeat_command("info", env=environment)
    assert f"cores: 3 of {os.cpu_count()} core" in done.stdout
    assert "PYTHON_CPU_COUNT" in done.stdout
    told = json.loads(edgefeat_command("info", "--json", env=environment).stdout)
    assert told["cores"] == {"usable": 3, "present": os.cpu_count(), "reason": "PYTHON_CPU_COUNT"}
    assert told["threads"] == 3
    assert told["memory"] > 0


def test_what_tune_found_is_kept_for_each_share_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, one_tap: Path
) -> None:
    bundle = Bundle.open(one_tap)
    files = []
    for count in ("", "1", "2"):
        monkeypatch.setenv("PYTHON_CPU_COUNT", count)
        files.append(tuned_file(bundle.identity))
    assert len(set(files)) == 3
