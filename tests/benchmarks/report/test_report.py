"""`edgefeat-bench report`: Markdown, the folder, and the figures of the README."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the bench extra")
pytest.importorskip("jinja2", reason="needs the bench extra")
pytest.importorskip("matplotlib", reason="needs the bench extra")

from tests.benchmarks.report.plausible import FEW, MANY, plausible_run

from edgefeat_bench._records import Contender, Run
from edgefeat_bench._report.documents import markdown, readme_block, run_markdown
from edgefeat_bench._report.publication import figures_in
from edgefeat_bench._report.tables import all_tables, tables

CHECKOUT = Path(__file__).parents[3]


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rows_of_the_terminal_fit_their_header_and_name_what_is_wrong() -> None:
    run = plausible_run(MANY)
    (table,) = tables("terminal", run)
    notes = [row.cells[-1] for row in table.rows]
    assert sum(note.startswith("WRONG: ") for note in notes) == len(run.photos)
    assert [note.partition(":")[0] for note in notes[-2:]] == ["NOT INSTALLED", "NOT INSTALLED"]
    for one in (table, *all_tables(run)):
        assert {len(row.cells) for row in one.rows} == {len(one.header)}


def test_markdown_has_every_median_and_what_is_in_a_cell_cannot_break_out() -> None:
    run = plausible_run(MANY)
    text = run_markdown(Path("server.json"), run)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) > 100
    for line in tables:
        assert "<purpose>" not in line
    struck = [line for line in tables if "broken on" in line]
    assert all(
        re.match(r"\| ~~broken on &#60;purpose&#62; &#38; \"quoted\" \\\| \\~\\~x\\~\\~ ", line) for line in struck[:4]
    )
    for result in run.results:
        if result.status == "ok":
            for series in result.series:
                assert f"{np.median(series.seconds) * 1e3:#.3g}".rstrip(".") in text


def test_a_report_is_a_folder_with_page_pictures_and_the_results_themselves(tmp_path: Path) -> None:
    plausible_run(MANY).write(tmp_path / "server.json")
    plausible_run(FEW, processor="Raspberry Pi 5 Model B").write(tmp_path / "pi5.json")
    done = bench("report", tmp_path / "server.json", tmp_path / "pi5.json", "-o", tmp_path / "docs" / "benchmarks")
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "docs" / "benchmarks").iterdir()}
    svgs = {f"{stem}-{tone}.svg" for stem in ("server", "pi5") for tone in ("light", "dark")}
    assert made == {"README.md", "index.html", "server.md", "pi5.md", "server.json", "pi5.json"} | svgs
    for name in ("README.md", "server.md", "pi5.md"):
        text = (tmp_path / "docs" / "benchmarks" / name).read_text()
        links = ["".join(link) for link in re.findall(r'(?:src|srcset)="([^"]*)"|\]\(([^)]*)\)', text)]
        assert all((tmp_path / "docs" / "benchmarks" / link).exists() for link in links)
        assert {"server.md", "pi5.md"} <= set(links) or name != "README.md"
        assert ", Raspberry Pi 5 Model B](pi5.md) |" in text or name != "README.md"
    assert (tmp_path / "docs" / "benchmarks" / "server.json").read_bytes() == (tmp_path / "server.json").read_bytes()


def test_a_report_links_the_reports_of_further_machines_in_its_folder(tmp_path: Path) -> None:
    plausible_run(FEW).write(tmp_path / "server.json")
    plausible_run(FEW, processor="Raspberry Pi 5 Model B").write(tmp_path / "pi5.json")
    (tmp_path / "out" / "boards").mkdir(parents=True)
    (tmp_path / "out" / "boards" / "device.json").write_text("{}")  # no page beside it
    (tmp_path / "out" / "web").mkdir()
    (tmp_path / "out" / "web" / "README.md").write_text("# A page of something else")
    (tmp_path / "out" / "web" / "package.json").write_text("{}")
    for result, folder in (("pi5.json", tmp_path / "out" / "pi5"), ("server.json", tmp_path / "out")):
        assert bench("report", tmp_path / result, "-o", folder).returncode == 0
    lines = (tmp_path / "out" / "README.md").read_text().splitlines()
    linked = [line for line in lines if line.startswith("On another machine")]
    assert len(linked) == 1
    assert "cores of Raspberry Pi 5 Model B" in linked[0]
    assert linked[0].endswith(": [pi5](pi5/README.md).")


def test_the_overview_has_a_row_for_each_network_and_kind_of_photos() -> None:
    run = plausible_run(MANY)
    other = replace(run, network="resnet50", results=tuple(one for one in run.results if one.contender.side != "peer"))
    text = markdown({Path("a.json"): run, Path("b.json"): other})
    for photos in run.photos:
        rows = text.partition(f"## {photos.name}: ")[2].partition("\n## ")[0].splitlines()
        first, second = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows[4:6])
        edgefeat, peer, compiled, predict = (float(cell.split()[0]) for cell in first[1:5])
        assert edgefeat < min(peer, compiled, predict)
        # The ratio of medians is near the median of ratios.
        assert float(first[5].partition("x")[0]) == pytest.approx(peer / edgefeat, rel=0.1)
        assert float(first[7].partition("x")[0]) == pytest.approx(predict / edgefeat, rel=0.1)
        assert (second[0], second[2], second[5]) == (f"[{other.title}](b.md)", "-", "-")


def test_the_overview_has_the_photos_that_are_larger_than_those_of_the_rounds() -> None:
    run = plausible_run(MANY)
    curves = {one.name: one.points[-1] for one in run.costs if one.axis == "megapixels"}
    assert {point.x for point in curves.values()} == {48}
    text = markdown({Path("a.json"): run, Path("b.json"): plausible_run(FEW, network="resnet50", extras=False)})
    (row,) = (line for line in text.partition("## 48 megapixels: ")[2].splitlines() if line.startswith("| ["))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    mine, predict = (statistics.median(curves[name].seconds) * 1e3 for name in ("edgefeat tuned", "keras predict"))
    assert float(cells[1]) == pytest.approx(mine, rel=0.01)
    assert float(cells[4]) == pytest.approx(predict, rel=0.01)
    assert float(cells[7].partition("x")[0]) == pytest.approx(predict / mine, rel=0.1)
    assert "## 12 megapixels" not in text  # the rounds have them


def test_the_overview_counts_the_rows_in_which_the_fastest_peer_is_not_slower() -> None:
    run = plausible_run(MANY)
    (tuned,) = (one for one in run.results if one.contender.name == "edgefeat tuned")
    others = tuple(one for one in run.results if one.contender.side != "peer")
    first, *rest = tuned.series
    halved = replace(first, seconds=tuple(value / 2 for value in first.seconds))
    doubled = [replace(one, seconds=tuple(value * 2 for value in one.seconds)) for one in rest]
    equal = replace(tuned, contender=Contender("equal", "litert", "peer"))  # in each turn
    quick = replace(tuned, contender=Contender("quick", "openvino", "peer"), series=(halved, *doubled))
    runs = [replace(run, results=(*others, *peers), costs=()) for peers in ([equal], [equal], [quick])]
    text = markdown({Path(f"{index}.json"): one for index, one in enumerate(runs)})
    names = [one.name for one in run.photos]
    cases = ", ".join(f"equal on {name} (2 times)" for name in names)
    counted = f"in {len(names) - 1} of {3 * len(names)} cases, level with {cases}, slower than quick on {names[0]}."
    assert f"Compared with the fastest peer in each row, edgefeat is faster {counted}" in text


def test_an_unstable_run_is_marked_wherever_its_figures_stand() -> None:
    run = plausible_run(MANY)
    shaky = replace(plausible_run(MANY, network="resnet50"), unstable=("other programs used 84% of the cores",))
    index = markdown({Path("a.json"): run, Path("b.json"): shaky})
    rows = [line for line in index.splitlines() if line.startswith("| [resnet50")]
    kinds = len(run.photos) + 1  # those of 48 megapixels
    assert len(rows) == 1 + kinds
    assert all("(unstable)" in row or "**Unstable, do not quote.**" in row for row in rows)
    assert index.count("[resnet50, 2 threads (unstable)](b.md)") == kinds
    assert "[resnet50, 2 threads (unstable)](docs/b.md)" in readme_block([run, shaky], ["a", "b"], "docs")
    assert "(unstable)" not in markdown({Path("a.json"): run})
    earlier = replace(run, method=1)
    assert earlier.title + " (earlier method)](a.md)" in markdown({Path("a.json"): earlier})
    both = replace(earlier, unstable=shaky.unstable)
    assert " (earlier method and unstable)](a.md)" in markdown({Path("a.json"): both})


def test_the_overview_says_what_each_page_has() -> None:
    whole = plausible_run(MANY)
    lines = markdown({Path("a.json"): whole, Path("b.json"): plausible_run(FEW, extras=False)}).splitlines()
    first, second = (line for line in lines if "](a.md) | edgefeat" in line or "](b.md) | edgefeat" in line)
    assert first.endswith(
        "| start of a process, a whole folder, quality on labelled photos, use of the processor "
        "and cost by input side, threads and megapixels |"
    )
    assert second.endswith(" | - |")


def test_several_runs_are_a_table_in_a_readme_each_with_its_link() -> None:
    runs = [plausible_run(MANY, network=name) for name in ("first", "second", "third")]
    lines = readme_block(runs, ["1", "2", "3"], "docs").splitlines()
    links = [line.split(" | ")[0] for line in lines if line.startswith("| [")]
    assert links == [f"| [{run.title}](docs/{index}.md)" for index, run in enumerate(runs, start=1)]
    assert "docs/1.md" not in readme_block(runs[:1], ["1"], "docs")


def test_the_figures_of_a_readme_are_replaced_between_their_marks_and_nothing_else(tmp_path: Path) -> None:
    plausible_run(FEW).write(tmp_path / "server.json")
    readme = tmp_path / "README.md"
    readme.write_text("# Before\n\n<!-- figures: begin -->\nold figures\n<!-- figures: end -->\n\nAfter.\n")
    made = tmp_path / "docs" / "benchmarks"
    assert bench("report", tmp_path / "server.json", "-o", made, "--readme", readme).returncode == 0
    text = readme.read_text()
    assert text.startswith("# Before\n\n<!-- figures: begin of server.json -->\n")
    assert text.endswith("<!-- figures: end -->\n\nAfter.\n")
    assert "old figures" not in text
    assert 'src="docs/benchmarks/server-light.svg"' in text
    assert "[docs/benchmarks](docs/benchmarks/README.md)" in text
    assert "edgefeat-bench run mobilenet_v2_0.35_224.edgefeat photos/ --full" in text
    assert re.search(r"\| keras predict \| 70\.\d ms \| 9\d\.\d ms \| 2\d\d ms \| 62\.\d ms \|", text)
    first = {path.name: path.read_bytes() for path in made.iterdir()}
    # Made again from its own folder it is the same.
    assert bench("report", made / "server.json", "-o", made, "--readme", readme).returncode == 0
    assert {path.name: path.read_bytes() for path in made.iterdir()} == first
    assert readme.read_text() == text


def test_what_cannot_be_reported_is_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    result, readme = tmp_path / "a.json", tmp_path / "README.md"
    plausible_run(FEW, extras=False).write(result)
    readme.write_text("no marks here\n")
    (tmp_path / "other.json").write_text('{"format": 1}')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_bytes(result.read_bytes())
    wrong_uses: list[tuple[list[str | Path], str]] = [
        (["report"], "Missing argument"),
        (["report", "nowhere.json"], "nowhere.json cannot be read"),
        (["report", tmp_path / "other.json"], "has format 1, this edgefeat-bench reads 2"),
        (["report", result, "--readme", readme], "no place for the figures"),
        (["report", result, "--readme", tmp_path / "absent.md"], "cannot be read"),
        (["report", result, tmp_path / "sub" / "a.json"], "a.json is given twice"),
    ]
    for arguments, said in wrong_uses:
        done = bench(*arguments, "-o", tmp_path / "out")
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_readme_tells_the_figures_of_the_results_in_docs() -> None:
    readme, folder = CHECKOUT / "README.md", CHECKOUT / "docs" / "benchmarks"
    found = figures_in(readme.read_text()) if readme.exists() else None
    if found is None:
        pytest.skip("README.md has no figures of edgefeat-bench report yet")
    names, text = found
    runs, stems = [Run.read(folder / name) for name in names], [Path(name).stem for name in names]
    assert text == readme_block(runs, stems, "docs/benchmarks"), "make bench-publish makes them anew"


@pytest.mark.parametrize(("command", "package"), [("report", "matplotlib"), ("run", "psutil"), ("gate", "scipy")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    command: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('not here', name={package!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    plausible_run(FEW).write(tmp_path / "a.json")
    done = bench(command, tmp_path / "a.json", *([tmp_path / "a.json"] if command == "gate" else []))
    assert done.returncode == 1
    sentence = f"edgefeat-bench: {package} is not installed; install it with: pip install {package}"
    assert done.stderr == f"{sentence}\n  see docs/install.md\n"
    assert package in bench("--help").stdout or package == "scipy"
