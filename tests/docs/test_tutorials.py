"""The tutorials' runner, on small pages. `make tutorials` follows the tutorials themselves, in minutes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from tests.docs.test_site import hook
from tests.docs.tutorials import ROOT, follow, steps

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))

PAGE = """# A page

```sh
echo 'took 3.5 s in' "$PWD"
```

```text
took 1.25 s in /home/you/tutorial
```

<!-- not run: the reader's own -->
```sh
exit 3
```

```python
from PIL import Image

number = 6
Image.new("RGB", (40, 20), "teal").save("found.png")
```

<!-- made: found.png -->
![A picture](images/found.png)

```python
print("is", number * 7)
```

```text
is 42
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "docs" / "page.md"
    (page.parent / "images").mkdir(parents=True)
    page.write_text(PAGE)
    Image.new("RGB", (20, 10)).save(page.parent / "images" / "found.png")
    (tmp_path / "run").mkdir()
    return page


def test_a_page_that_shows_what_happens_passes(page: Path, tmp_path: Path) -> None:
    assert follow(page, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("is 42", "was 42", "and the page shows:\nwas 42"),
        ("number * 7", "missing * 7", "NameError"),
        ("echo 'took", "exit 4; echo 'took", "it failed"),
        ('.save("found.png")', '.save("other.png")', "found.png was not made"),
        ("(40, 20)", "(20, 40)", "of another shape"),
    ],
)
def test_a_page_that_shows_something_else_is_caught(page: Path, tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in PAGE
    page.write_text(PAGE.replace(old, new))
    assert told in " ".join(one.told for one in follow(page, tmp_path / "run"))


def test_writing_puts_the_output_and_the_picture_into_the_page(page: Path, tmp_path: Path) -> None:
    page.write_text(PAGE.replace("is 42\n", "").replace("took 1.25 s in /home/you/tutorial\n", ""))
    (page.parent / "images" / "found.png").unlink()
    follow(page, tmp_path / "run", write=True)
    assert page.read_text() == PAGE.replace("1.25", "3.5")
    with Image.open(page.parent / "images" / "found.png") as image:
        assert image.size == (40, 20)


def test_every_tutorial_shows_output_and_a_picture_free_of_rights() -> None:
    assert len(TUTORIALS) == 3
    for page in TUTORIALS:
        todo = steps(page.read_text(encoding="utf-8"))
        assert all(one.output for one in todo if one.output is not None), page
        assert sum(one.output is not None for one in todo) >= 3, page
        for one in todo:
            if one.picture is not None:
                assert (page.parent / one.picture).is_file(), one.picture


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_notebook_runs_what_the_page_runs(page: Path) -> None:
    pytest.importorskip("mkdocs", reason="the group `docs` is not installed: make docs")
    text = page.read_text(encoding="utf-8")
    made = json.loads(json.dumps(hook("notebooks").notebook(text)))
    codes = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    shown = [one for one in steps(text) if one.made is None]
    assert codes == [("%%sh\n" if one.language == "sh" else "") + one.code.rstrip("\n") for one in shown]
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])


@pytest.mark.skipif(os.environ.get("EDGEFEAT_TUTORIALS") != "all", reason="minutes: make tutorials")
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_followed_by_copying_does_what_it_shows(
    page: Path, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("KERAS_HOME", str(shared_data / "keras-home"))
    model = tmp_path / "keras_model.h5"
    model.symlink_to(shared_data / "models" / "teachable_machine_4.h5")
    assert follow(page, tmp_path) == []
