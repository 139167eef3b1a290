"""The page, read back as a browser would: what it says, what it draws, and that nothing in a result can break it."""

from __future__ import annotations

import html
import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the bench extra")
pytest.importorskip("jinja2", reason="needs the bench extra")
pytest.importorskip("matplotlib", reason="needs the bench extra")

from tests.benchmarks.report.plausible import FEW, KERAS, MANY, SETS, TUNED, Plan, plausible_run

from edgefeat_bench._records import METHOD, Bulk, Run
from edgefeat_bench._report.documents import page, readme_block, run_markdown
from edgefeat_bench._report.findings import quality_of
from edgefeat_bench._report.plots.bars import readme_plots
from edgefeat_bench._report.plots.fidelity import Dot, pareto_front
from edgefeat_bench._report.tables import all_tables

EMPTY = {"meta", "source", "img", "br", "hr", "link", "input"}


class Document(HTMLParser):
    """Tags with their attributes in order, the text, and whether every tag is closed where it must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def many() -> Run:
    return plausible_run(MANY)


@pytest.fixture(scope="module")
def text(many: Run) -> str:
    return page([many])


@pytest.fixture(scope="module")
def read(text: str) -> Document:
    return Document(text)


def test_it_needs_no_network_and_no_script(text: str) -> None:
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<link|src=", text)
    assert len(text) < 1_000_000


def test_it_says_what_it_is_to_those_who_cannot_see_it(read: Document) -> None:
    assert read.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    plots = read.all("svg")
    assert len(plots) > 15
    assert all(plot["role"] == "img" and len(plot["aria-label"] or "") > 20 for plot in plots)
    assert all(scroll.get("tabindex") == "0" for scroll in read.all("div") if scroll.get("class") == "scroll")


def test_the_headline_is_what_the_samples_say(many: Run, read: Document) -> None:
    by_name = {result.contender.name: result for result in many.results}
    for index, photos in enumerate(SETS):
        theirs, ours = (np.array(by_name[name].series[index].seconds) for name in ("keras predict", "edgefeat tuned"))
        where = "images in memory" if photos.arrays else f"{photos.name} photos"
        told = re.search(rf"([\d.]+)x the speed of keras predict on {where}", read.text)
        assert told is not None
        assert float(told[1]) == pytest.approx(float(np.median(theirs / ours)), rel=0.01)
    assert "with 11.0x less memory and a 13.4x smaller install" in read.text


def test_names_from_a_result_never_become_markup(read: Document) -> None:
    assert "purpose" not in {tag for tag, _ in read.tags}
    assert 'broken on <purpose> & "quoted" | ~~x~~' in read.text


def test_every_figure_of_every_table_is_on_the_page(many: Run, read: Document) -> None:
    cells = set(read.texts)
    for table in all_tables(many):
        for row in table.rows:
            assert set(row.cells) - {""} <= cells


def test_wrong_ones_are_struck_and_hollow_absent_ones_have_their_remedy(read: Document) -> None:
    assert sum(row.get("class") == "struck" for row in read.all("tr")) >= len(SETS)
    dashed = [mark for mark in read.all("path") if "stroke-dasharray: 3,3" in (mark.get("style") or "")]
    assert len(dashed) == len(SETS)
    assert "wrong features" in read.text
    assert "pip install 'edgefeat[peers]'" in read.text
    assert "edgefeat tuned is the choice of edgefeat tune on this machine: tflite-int8 on litert." in read.text
    assert "MediaPipe has no option for threads" in read.text
    absent = "pytorch timm and edgefeat tflite-int8 tflite-runtime"
    assert f"Not installed, so not measured: {absent} (install commands below)" in read.text


def test_a_quicker_peer_is_named_with_how_far_off_its_features_are() -> None:
    quick = Plan("mediapipe quick", "mediapipe", "peer", 0.5, 0.1, 0.853)
    told = Document(page([plausible_run((KERAS, TUNED, quick), extras=False)])).text
    assert re.search(r"slower than mediapipe quick on 640x480 \([^)]*, lowest cosine 0.85\)", told)
    quick = replace(quick, cosine=0.99)
    told = Document(page([plausible_run((KERAS, TUNED, quick), extras=False)])).text
    assert re.search(r"slower than mediapipe quick on 640x480 \([^),]*\)", told)


def test_a_wrong_contender_is_in_no_ratio_and_no_front() -> None:
    cheat = Plan("edgefeat broken", "edgefeat-tuned", "edgefeat", 0.01, 0.0, 0.2, status="wrong")
    text = Document(page([plausible_run((KERAS, cheat))])).text
    assert "No edgefeat contender gave correct features" in text
    assert "the speed of keras predict on" not in text


def test_bars_start_at_zero_and_are_as_long_as_their_figures(many: Run, text: str) -> None:
    plot = re.search(r'<svg[^>]*aria-label="640x480: .*?</svg>', text, re.DOTALL)
    assert plot is not None
    named = re.findall(r"<text[^>]*>([^<]*)</text>", plot[0])
    by_name = {result.contender.name: np.median(result.series[0].seconds) for result in many.results if result.series}
    medians = np.array([by_name[name] for name in named if name in by_name])
    corners = re.findall(r'd="M 0 [\d.]+ L ([\d.]+) [^"]*z[^>]*fill: var\(--(?:edgefeat|peer|tensorflow)', plot[0])
    lengths = np.array([float(corner) for corner in corners])
    assert len(medians) == len(lengths) > 5
    assert np.ptp(lengths / medians) < 0.01 * np.max(lengths / medians)


def test_no_text_lies_outside_its_plot(text: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        _, _, width, height = map(float, re.findall(r'viewBox="([^"]*)"', svg)[0].split())
        places = re.findall(r'<text[^>]* x="([-\d.]+)" y="([-\d.]+)"', svg)
        assert places
        assert all(-1 <= float(x) <= width + 1 and -1 <= float(y) <= height + 1 for x, y in places)


@pytest.mark.parametrize(
    "run",
    [
        plausible_run(FEW),
        plausible_run((TUNED,), sets=SETS[:1], rounds=1, extras=False),
        plausible_run((KERAS,), extras=False),
        plausible_run((replace(KERAS, status="absent"), TUNED), extras=False),
        plausible_run((replace(TUNED, status="died"), KERAS), extras=False),
        replace(plausible_run(FEW, extras=False), after=None, unstable=("other programs took 84 % of the cores",)),
        plausible_run((replace(TUNED, cosine=None, model=None), KERAS), rounds=1),
    ],
    ids=["few", "alone", "no edgefeat", "no TensorFlow", "died", "interrupted and unstable", "not comparable"],
)
def test_any_run_makes_a_page(run: Run) -> None:
    text = Document(page([run])).text
    assert run.command in text
    assert "None" not in text
    assert "nan" not in text.split()


def test_what_to_mind_is_said() -> None:
    unstable = replace(plausible_run(FEW), unstable=("other programs took 84 % of the cores",), after=None)
    text = Document(page([unstable])).text
    assert "Do not quote these figures, the run is unstable: other programs took 84 % of the cores" in text
    assert "interrupted" in text
    assert "mean nothing" in Document(page([plausible_run(FEW, network="resnet50, weights random")])).text
    busy = plausible_run(FEW)
    assert "not idle" in Document(page([replace(busy, before=replace(busy.before, load=8.0))])).text
    hot = replace(busy, before=replace(busy.before, throttled="0x50000"))
    assert "low voltage" in Document(page([hot])).text
    cool = replace(busy, before=replace(busy.before, throttled="0x0"))
    assert "low voltage" not in Document(page([cool])).text
    untuned = plausible_run((KERAS, replace(TUNED, kind="edgefeat", name="edgefeat tflite-int8 litert")))
    assert "choosing it after the measurement favours it" in Document(page([untuned])).text


def test_what_tensorflow_imported_without_need_is_said_of_results_that_it_distorts() -> None:
    now = plausible_run((KERAS, TUNED))
    started = replace(now, isolated=False)
    before = replace(started, cold_starts=tuple(replace(one, isolated=False) for one in now.cold_starts))
    said = [run_markdown(Path("a.json"), run) for run in (before, started, now)]
    assert "of their memory and some of their start." in said[0]
    assert "of their memory. The start of a new process was measured later, without them." in said[1]
    assert "also imported" not in said[2]
    later = ["process was measured later" in readme_block([run], ["a"], "docs") for run in (before, started, now)]
    assert later == [False, True, False]
    assert ["A new process gives its first feature" in text for text in said] == [False, True, True]


def test_only_projects_that_ran_are_named_and_usual_ones_that_did_not_are() -> None:
    stock = Plan("plain litert", "litert", "peer", 9.0)
    text = Document(page([plausible_run((KERAS, TUNED, stock))])).text
    assert "which is part of its speed-up on large photos; TensorFlow and LiteRT are given every pixel." in text
    assert "edgefeat tuned may choose an int8 file; plain litert runs a float32 file of the usual converters." in text
    assert (
        "Not in this run: plain onnxruntime, fastembed, openvino, ncnn, torch timm, executorch timm and "
        "executorch timm int8." in text
    )
    assert "Not in this run" not in Document(page([plausible_run((KERAS, TUNED))])).text  # no peer at all


def test_what_there_is_to_know_of_a_peer_is_said_once_for_all_that_it_is_about() -> None:
    run = plausible_run(
        (KERAS, TUNED, Plan("plain litert", "litert", "peer", 9.0), Plan("other", "litert", "peer", 9.5))
    )
    results = [replace(one, reason="resized coarsely") if one.contender.side == "peer" else one for one in run.results]
    text = Document(page([replace(run, results=tuple(results))])).text
    assert text.count("plain litert and other: resized coarsely.") == 1


def test_results_of_the_earlier_method_say_what_it_got_wrong() -> None:
    now = replace(plausible_run((KERAS, TUNED)), method=METHOD)
    tuned = Bulk("edgefeat extract, tuned: onnx-int8 on openvino", "edgefeat", 200, (1.0,), 1)
    torch = Plan("torch timm", "torch", "peer", 9.0, cosine=None)
    runs = {
        "before": replace(now, method=1),
        "timm": replace(plausible_run((KERAS, TUNED, torch), network="vgg16, 224x224"), method=1),
        "now": now,
        "tuned": replace(now, bulk=(*now.bulk, tuned)),
    }
    said = {name: run_markdown(Path("a.json"), run) for name, run in runs.items()}
    measured = {name: "Measured before the benchmark was corrected" in text for name, text in said.items()}
    assert measured == {"before": True, "timm": True, "now": False, "tuned": False}
    layers = "timm's network had layers after the features, so its times are too long too."
    assert [layers in said[name] for name in ("before", "timm")] == [False, True]
    torn = Plan("plain onnxruntime", "onnxruntime", "peer", 9.0, status="died")
    transformer = replace(plausible_run((KERAS, TUNED, torn)), method=1)
    assert "one of them may be the fastest peer." in run_markdown(Path("a.json"), transformer)
    assert "the folder is computed with what edgefeat tune chose" in said["before"]
    assert (
        "Start, memory, installed size and folder are those of edgefeat's default, before edgefeat tune." in said["now"]
    )
    assert "the folder also with what edgefeat tune chose, which may be an int8 file" in said["tuned"]


def test_a_default_that_is_a_variant_has_its_fidelity() -> None:
    int8 = Plan("edgefeat tflite-int8 litert", "edgefeat", "edgefeat", 2.1, 1.0, 0.9909, 60e6, 0.64e6)
    run = plausible_run((KERAS, replace(TUNED, cosine=0.9909, model=0.64e6), int8))
    run = replace(run, quality=tuple(one for one in run.quality if one.name != "edgefeat tuned"))
    tuned = next(result for result in run.results if result.contender.name == "edgefeat tuned")
    found = quality_of(run, tuned)
    assert found is not None
    assert found.name == "edgefeat tflite-int8 litert"
    assert "the mean cosine of edgefeat tflite-int8 litert is 0.9909" in Document(page([run])).text


def test_level_with_a_peer_is_called_level_and_behind_is_called_behind() -> None:
    twin = Plan("plain litert", "litert", "peer", TUNED.inference)
    quicker = Plan("a better one", "litert", "peer", TUNED.inference / 2)
    text = Document(page([plausible_run((KERAS, TUNED, twin, quicker), sets=SETS[:1])])).text
    assert "Compared with 2 peers on each kind of photos, edgefeat is faster in 0 of 2 cases" in text
    assert "level with plain litert on 640x480" in text
    assert "slower than a better one on 640x480" in text
    assert "Faster to the first feature than edgefeat extract: litert and Pillow script. Less memory than" in text


def test_two_runs_stand_one_after_the_other() -> None:
    other = plausible_run(FEW, processor="Raspberry Pi 5 Model B", threads=4)
    read = Document(page([plausible_run(FEW), other]))
    assert [section.get("id") for section in read.all("section")] == ["networks", "run0", "run1"]
    links = [link["href"] for link in read.all("a")]
    assert links == ["#run0", "#run1"] * (len(links) // 2)
    assert len(links) > 2
    assert "2 cores of Raspberry Pi 5 Model B" in read.text


def test_the_front_is_what_nothing_beats_in_both() -> None:
    quick, near, both, beaten = (
        Dot(name, x, y) for name, x, y in (("q", 1, 0.9), ("n", 3, 1), ("b", 2, 0.99), ("x", 3, 0.95))
    )
    assert pareto_front([beaten, near, both, quick]) == [quick, both, near]
    # Nearer to 1 than anyone can use is equal: the slower one does not count as better.
    assert pareto_front([Dot("a", 1, 1 - 1e-7), Dot("b", 2, 1.0)])[-1].name == "a"


def test_pictures_are_whole_svg_files_in_both_tones(many: Run) -> None:
    made = readme_plots(many)
    assert set(made) == {"light", "dark"}
    assert made["light"] != made["dark"]
    for text in made.values():
        svg = ElementTree.fromstring(text)
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert "edgefeat tuned" in "".join(svg.itertext())
        assert not re.search(r"https?://(?!www\.w3\.org/(?:2000/svg|1999/xlink))", text)
    assert readme_plots(plausible_run((replace(TUNED, status="died"),), sets=SETS[:1], extras=False)) == {}


@pytest.mark.parametrize("opened", ["", "open"])
def test_a_phone_never_scrolls_sideways(text: str, tmp_path: Path, opened: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here to lay the page out")
    text = text.replace("<details>", f"<details {opened}>")
    # A frame as wide as a phone: a headless window cannot be so narrow.
    measure = "const page = frame.contentDocument.documentElement; document.title = page.scrollWidth - page.clientWidth"
    frame = f'<iframe id="frame" width="360" height="800" style="border:0" srcdoc="{html.escape(text)}"'
    (tmp_path / "phone.html").write_text(f'<title>-</title>{frame} onload="{measure}"></iframe>', encoding="utf-8")
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    command = [chromium, *quiet, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", str(tmp_path / "phone.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "<title>0</title>" in done.stdout, done.stderr[-500:]
