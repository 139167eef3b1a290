"""The small network that the tests of the int8 correction share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.conftest import MadeOnce

if TYPE_CHECKING:
    from tests.export.int8.correction_case import Case


@pytest.fixture(scope="module")
def case(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The network in a folder of the module's own.

    Its tests write into the folder, and ONNX Runtime's quantizer writes and removes a file beside the model it reads.
    """
    from tests.export.int8.correction_case import case_in, write_case  # needs TensorFlow, which may be absent

    made = made_once("correction", write_case)
    return case_in(shutil.copytree(made, tmp_path_factory.mktemp("correction"), dirs_exist_ok=True))
