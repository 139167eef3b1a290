"""`manifest.json`: what is whole and typed is read and comes back the same; anything else is a BundleError."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.bundle.manifests import (
    BUNDLES,
    DATA,
    KINDS,
    OPTIONAL,
    Place,
    at,
    changed,
    full,
    places,
    records,
    refusal,
    shown,
)

from edgefeat import BundleError, Manifest
from edgefeat._version import update_command


@pytest.mark.parametrize("name", BUNDLES)
def test_the_manifest_of_a_bundle_comes_back_the_same(name: str) -> None:
    data = (DATA / f"{name}.edgefeat" / "manifest.json").read_bytes()
    manifest = Manifest.from_bytes(data)
    assert manifest.to_bytes() == data
    assert {file.name for file in manifest.files()} == {
        path.name for path in (DATA / f"{name}.edgefeat").iterdir() if path.name != "manifest.json"
    }


def test_a_manifest_with_every_field_comes_back_the_same() -> None:
    manifest = Manifest.from_bytes(json.dumps(full()).encode())
    assert json.loads(manifest.to_bytes()) == full()
    assert manifest.taps[0].projection is not None
    assert manifest.taps[0].projection.kept_variance == 0.99


def test_every_missing_field_is_named() -> None:
    fields = [(*record, name) for record in records(full()) for name in at(full(), record)]
    assert len(fields) > 150
    for place in fields:
        value = full()
        del at(value, place[:-1])[place[-1]]
        said = refusal(json.dumps(value).encode())
        assert said.endswith(f"manifest.json: {shown(place)} is missing"), said


def test_every_unknown_field_is_named_with_those_allowed() -> None:
    for record in records(full()):
        said = refusal(json.dumps(changed((*record, "colour"), "red")).encode())
        first = next(iter(at(full(), record)))
        assert f"manifest.json: {shown((*record, 'colour'))} is unknown (allowed here: {first}" in said, said


def test_every_value_of_a_wrong_type_is_named() -> None:
    tried = 0
    for place in places(full()):
        found = at(full(), place)
        for wrong in KINDS if found is not None else ():
            whole_number = type(wrong) is int and isinstance(found, float)
            if type(wrong) is not type(found) and not whole_number and (wrong is not None or place[-1] not in OPTIONAL):
                said = refusal(json.dumps(changed(place, wrong)).encode())
                assert f"manifest.json: {shown(place)} is {type(wrong).__name__}" in said, said
                tried += 1
    assert tried > 1000


@pytest.mark.parametrize("value", KINDS[:-1])
def test_the_whole_must_be_an_object(value: object) -> None:
    assert "the file is" in refusal(json.dumps(value).encode())


def test_a_word_that_is_not_among_those_allowed_is_refused() -> None:
    words = [("picture", "fit"), ("taps", 0, "pooling"), ("calibration", "source"), ("variants", 0, "format")]
    for place in words:
        said = refusal(json.dumps(changed(place, "sideways")).encode())
        assert f"{shown(place)} is str 'sideways' (allowed: '" in said


@pytest.mark.parametrize("value", [{"schema": 2}, {**full(), "schema": 2}, {"schema": 1000, "new": {}}])
def test_a_newer_schema_tells_how_to_update(value: dict[str, Any]) -> None:
    said = refusal(json.dumps(value).encode())
    assert f"schema version {value['schema']}, this edgefeat reads version 1" in said
    assert said.endswith(f"update it: {update_command()}")


@pytest.mark.parametrize("schema", [0, -1, True, 1.0, "1", None])
def test_an_impossible_schema_is_refused(schema: object) -> None:
    assert "schema is " in refusal(json.dumps({**full(), "schema": schema}).encode())


HOSTILE = ["../x", "/x", "a/b", "a\\b", "C:x", "C:\\x", "", "x\0", ".", "..", "x\n", "\x1b[2J", "\ud800", "a\u202eb"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("file", ["golden", "card"])
def test_a_hostile_file_name_is_refused(file: str, name: str) -> None:
    said = refusal(json.dumps(changed((file, "name"), name)).encode())
    assert repr(name) in said
    assert said.isprintable()


def test_a_model_file_is_named_after_its_variant() -> None:
    assert "'../x.tflite'" in refusal(json.dumps(changed(("variants", 0, "file", "name"), "../x.tflite")).encode())
    assert "'tflite-int4'" in refusal(json.dumps(changed(("variants", 0, "name"), "tflite-int4")).encode())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "x\0", "\x1b[2J"], ids=ascii)
def test_a_hostile_tap_name_is_refused(name: str) -> None:
    value = full()
    value["taps"][0]["name"] = name
    for variant in value["variants"]:
        variant["fidelity"][name] = variant["fidelity"].pop("stem")
    said = refusal(json.dumps(value).encode())
    assert repr(name) in said
    assert said.isprintable()


def test_a_control_character_never_reaches_the_terminal() -> None:
    for place in (("name",), ("backbone", "options", "alpha"), ("refusals", 0, "reason"), ("taps", 0, "layer")):
        said = refusal(json.dumps(changed(place, "\x1b]0;title\x07")).encode())
        assert said.isprintable()
        assert "control characters" in said


def test_what_repeats_a_name_or_is_none_is_refused() -> None:
    value = full()
    for what in ("taps", "variants"):
        twice = {**value, what: [*value[what], copy.deepcopy(value[what][0])]}
        assert f"{what} are empty or repeat a name" in refusal(json.dumps(twice).encode())
        assert f"{what} are empty" in refusal(json.dumps({**value, what: []}).encode())
    for other in (value["card"]["name"], "readme.MD", "manifest.json", "MANIFEST.json", "tflite-int8.tflite"):
        assert "files are empty or repeat" in refusal(json.dumps(changed(("golden", "name"), other)).encode())


def test_fidelity_is_that_of_the_taps() -> None:
    value = full()
    value["variants"][1]["fidelity"]["other"] = value["variants"][1]["fidelity"].pop("stem")
    assert "has fidelity for ['inner.point', 'other']" in refusal(json.dumps(value).encode())


IMPOSSIBLE: list[tuple[Place, object]] = [
    (("picture", "height"), 0),
    (("picture", "width"), 10**6),
    (("picture", "height"), 10**4000),
    (("taps", 0, "shape"), []),
    (("taps", 0, "shape"), [7, 0]),
    (("golden", "size"), -1),
    (("golden", "size"), 10**12),
    (("golden", "size"), 10**4000),
    (("card", "sha256"), "0" * 63),
    (("card", "sha256"), "A" * 64),
    (("gate", "mean_cosine"), 10**400),
]


@pytest.mark.parametrize(("place", "item"), IMPOSSIBLE, ids=lambda one: str(one)[:30])
def test_an_impossible_number_is_refused(place: Place, item: object) -> None:
    refusal(json.dumps(changed(place, item)).encode())


@pytest.mark.parametrize("spelled", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_none_is_refused(spelled: str) -> None:
    data = json.dumps(changed(("gate", "mean_cosine"), "HERE")).replace('"HERE"', spelled)
    assert "gate.mean_cosine is " in refusal(data.encode())
    assert "expected a finite number" in refusal(data.encode())


def test_what_is_not_json_is_refused() -> None:
    whole = json.dumps(full()).encode()
    nested = json.dumps(changed(("name",), "HERE")).encode()
    for data in (
        b"",
        b"\0" * 100,
        whole[:-1],
        whole + b"x",
        whole.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + whole,
        json.dumps({**full(), "name": "Käfer"}, ensure_ascii=False).encode("latin-1"),
        whole.replace(b'"seed": 0', b'"seed": ' + b"9" * 5000),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        *(nested.replace(b'"HERE"', b"[" * depth + b"]" * depth) for depth in (10, 500, 900, 990, 3000, 100_000)),
    ):
        refusal(data)


# Libraries of 32-bit ARM switch subnormal numbers off.
SUBNORMAL = sys.maxsize > 2**32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=SUBNORMAL) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def read_or_refused(data: bytes) -> None:
    """A manifest that comes back the same, or a BundleError: nothing else is raised."""
    try:
        manifest = Manifest.from_bytes(data)
    except BundleError:
        return
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    read_or_refused(json.dumps(value).encode("utf-8", "surrogatepass"))


PLACES = list(places(full()))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_any_change_of_a_valid_manifest_is_read_or_refused(changes: list[tuple[Place, object]]) -> None:
    value = full()
    for place, item in changes:
        try:
            at(value, place[:-1])[place[-1]] = item
        except (TypeError, KeyError, IndexError):  # an earlier change took the place away
            continue
    read_or_refused(json.dumps(value).encode())


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_flipped_byte_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(json.dumps(full()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(bytes(whole))
