"""Saved models made to run code, read files or follow links: each is refused in one line, and nothing is touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

from tests.export.hostile.hostile_models import (
    archive_with_config,
    calls_python,
    external,
    hidden,
    lambda_model,
    linked,
    metadata_lambda,
    op_layer,
    reads,
    replaced,
    table,
    with_config,
    with_link,
    writes,
)

#: Loads every model named as its arguments, with all that Python's audit hook tells of on the way.
WATCHED = """
import json, os, sys
events = []
def watch(event, arguments):
    if event in ("open", "os.system", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree") or event.startswith(
        ("socket.connect", "subprocess.Popen", "ctypes.dlopen", "webbrowser", "urllib")
    ):
        events.append([event, [repr(argument)[:300] for argument in arguments]])
import tf_keras, tensorflow, keras
from edgefeat import EdgefeatError
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._models.saved.formats import keras2
from edgefeat_export._models.saved.formats import signature
from edgefeat_export._models.saved import recognition
sys.addaudithook(watch)
said = {}
for path in sys.argv[1:]:
    del events[:]
    try:
        build_trunk(NetworkSpec(path, preprocess="raw"))
        error = None
    except EdgefeatError as caught:
        error = str(caught)
    said[path] = {"error": error, "events": list(events)}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Load each hostile model and return what happened, by name; `canary` and `secret` are files of the test."""
    folder = tmp_path_factory.mktemp("hostile")
    canary, secret = folder / "canary", folder / "secret.txt"
    with h5py.File(folder / "secret.h5", "w") as file:
        file["kernel"] = np.ones((3, 3, 3, 4), np.float32)
    secret.write_text("".join(f"word {index}\n" for index in range(200)))
    operation = {"op": "ReadFile", "name": "maps", "input": ["photo"]}
    system = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    popen = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", os.fspath(canary)]}}
    made = [
        lambda_model(folder, canary),
        linked(folder, folder / "secret.h5"),
        external(folder, secret),
        writes(folder, canary),
        reads(folder, secret),
        hidden(folder, canary),
        calls_python(folder, canary),
        table(folder, secret),
        with_link(folder, secret),
        metadata_lambda(folder, canary),
        *(
            with_config(folder, f"{function}.h5", op_layer(function))
            for function in ("io.read_file", "io.write_file", "py_function", "numpy_function", "keras.utils.get_file")
        ),
        with_config(
            folder,
            "node.h5",
            replaced(class_name="TensorFlowOpLayer", config={"node_def": operation, "constants": {}}),
        ),
        with_config(
            folder,
            "lookup.h5",
            replaced(class_name="StringLookup", config={"name": "maps", "vocabulary": os.fspath(secret)}),
        ),
        with_config(folder, "class.h5", replaced(class_name="Own")),
        with_config(folder, "method.h5", replaced(class_name="ClassMethod", config={"cls_symbol": "io.gfile.GFile"})),
        archive_with_config(folder, "module.keras", replaced(module="os", class_name="system")),
        archive_with_config(folder, "popen.keras", replaced(config={"kernel_initializer": popen})),
        archive_with_config(folder, "function.keras", replaced(config={"activation": system})),
        archive_with_config(
            folder,
            "marshalled.keras",
            replaced(config={"activation": {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}}),
        ),
        archive_with_config(
            folder,
            "get_file.keras",
            replaced(module="keras.utils", class_name="get_file", config={"origin": "http://127.0.0.1:9/a"}),
        ),
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", WATCHED, *map(os.fspath, made)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return {
        "canary": canary,
        "secret": secret,
        "models": {Path(path).name: {**found, "path": path} for path, found in said.items()},
    }


MODELS = {
    "lambda.h5": "a Lambda layer 'code'",
    "linked.h5": "is a link",
    "external.h5": "takes its values from another file",
    "writes": "uses .*WriteFile",
    "reads": "uses .*ReadFile",
    "hidden": "uses .*WriteFile",
    "python": "uses EagerPyFunc",
    "table": "runs functions from the file when it is loaded",
    "links": "contains a link",
    "io.read_file.h5": r"calls tf\.io\.read_file",
    "io.write_file.h5": r"calls tf\.io\.write_file",
    "py_function.h5": r"calls tf\.py_function",
    "numpy_function.h5": r"calls tf\.numpy_function",
    "keras.utils.get_file.h5": r"calls tf\.keras\.utils\.get_file",
    "node.h5": "calls ReadFile",
    "lookup.h5": "class StringLookup, which requires more than the image",
    "class.h5": r"a custom layer 'maps' \(class Own\)",
    "method.h5": "class ClassMethod",
    "module.keras": "custom layer",
    "popen.keras": "names subprocess 'Popen', which is not part of Keras",
    "function.keras": "which is not part of Keras",
    "marshalled.keras": "which is not part of Keras",
    "get_file.keras": "custom layer",
}


@pytest.mark.parametrize(("name", "said"), MODELS.items())
def test_a_hostile_model_is_refused_in_one_line(name: str, said: str, outcome: dict[str, Any]) -> None:
    error = outcome["models"][name]["error"]
    assert error is not None
    assert re.search(said, error), error
    assert "\n" not in error


def test_every_model_is_judged(outcome: dict[str, Any]) -> None:
    assert set(outcome["models"]) == {*MODELS, "metadata"}


def test_a_folder_whose_code_left_only_harmless_operations_is_loaded_from_its_graph(outcome: dict[str, Any]) -> None:
    assert outcome["models"]["metadata"]["error"] is None


def test_nothing_is_written_or_run(outcome: dict[str, Any]) -> None:
    assert not outcome["canary"].exists()


def test_no_file_but_the_model_is_opened_and_no_program_or_socket(outcome: dict[str, Any]) -> None:
    for name, found in outcome["models"].items():
        for event, arguments in found["events"]:
            text = " ".join(arguments)
            assert os.fspath(outcome["secret"]) not in text, name
            assert os.fspath(outcome["canary"]) not in text, name
            if event == "open" or "__autograph_generated_file" in text or "__pycache__" in text:
                continue  # the last two: TensorFlow compiles our own layers
            if event in ("os.mkdir", "os.remove", "shutil.rmtree"):  # a copy of the file without the code
                assert re.search(r"/edgefeat-\w+[/']|^'?[\w.]+'? \d+$", text), (name, event, text)
            else:  # HDF5 is read in a process of our own
                assert event in ("subprocess.Popen", "ctypes.dlopen"), (name, event, text)
                assert event != "subprocess.Popen" or "edgefeat_export._models.weight_files.hdf5" in text, (name, text)
