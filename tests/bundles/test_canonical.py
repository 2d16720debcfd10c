"""Canonical bytes against RFC 8785's own examples, and documents that survive a round trip exactly."""

from __future__ import annotations

import json
import math
import struct

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.canonical import Document, Int64, Number, UInt64, canonical_json, read_document
from bundles.errors import MalformedDocumentError
from bundles.evidence import Evaluation
from bundles.manifests import BUNDLE, EdgeBundle
from tests.bundles.conftest import edge_bundle, evaluation_of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


ASCII_NAMES = st.dictionaries(st.text(st.characters(max_codepoint=0x7F)), JSON | st.floats(-1e17, 1e17), max_size=8)
"""What nearly all documents look like: these are written by the standard library."""


class Sample(Document):
    price: Int64
    sequence: UInt64
    figures: dict[str, Number | None]


def test_rfc_8785_section_3_2_2() -> None:
    given_text = r"""{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"""
    wanted = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_json(json.loads(given_text)) == wanted.encode()


def test_rfc_8785_section_3_2_3_orders_keys_by_utf_16() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    ordered = ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_json(dict.fromkeys(names, 0)))) == ordered


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555555", "333333333.3333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_rfc_8785_appendix_b(bits: str, text: str) -> None:
    assert canonical_json(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


@given(JSON)
@settings(deadline=None)
def test_canonical_bytes_are_a_fixed_point(value: object) -> None:
    written = canonical_json(value)
    try:
        again = canonical_json(json.loads(written))
    except MalformedDocumentError:  # an integral float beyond 2^53 reads back as an integer: why documents have Number
        return
    assert again == written


@given(
    price=st.integers(-(2**63), 2**63 - 1),
    sequence=st.integers(0, 2**64 - 1),
    figures=st.dictionaries(
        st.text(), st.none() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    ),
)
@settings(deadline=None)
def test_a_document_survives_its_canonical_form(price: int, sequence: int, figures: dict[str, float]) -> None:
    sample = Sample(price=price, sequence=sequence, figures=figures)
    read = read_document(Sample, sample.canonical(), "sample")
    assert read == sample
    assert read.canonical() == sample.canonical()
    assert (read.price, read.sequence) == (price, sequence)
    assert read.figures == figures


@given(st.permutations(["price", "sequence", "figures"]))
@settings(deadline=None)
def test_order_of_keys_does_not_matter(order: list[str]) -> None:
    fields = {"price": "-9223372036854775808", "sequence": "18446744073709551615", "figures": {"b": 1.0, "a": 2}}
    text = json.dumps({name: fields[name] for name in order})
    assert (
        read_document(Sample, text, "sample").digest()
        == Sample(price=-(2**63), sequence=2**64 - 1, figures={"a": 2, "b": 1}).digest()
    )


@given(
    st.dictionaries(
        st.sampled_from(["net_pnl_1e9", "turnover", "sharpe", "fills"]),
        st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False),
    )
)
@settings(deadline=None)
def test_an_evaluation_survives_its_canonical_form(metrics: dict[str, float]) -> None:
    evaluation = evaluation_of(edge_bundle(), "replay", metrics=metrics)
    read = read_document(Evaluation, evaluation.canonical(), "evaluation")
    assert read == evaluation
    assert read.digest() == evaluation.digest()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "x", "01", "1.5"])
def test_a_figure_is_a_finite_number(value: object) -> None:
    with pytest.raises(MalformedDocumentError, match=r"figures\.a"):
        read_document(Sample, {"price": 1, "sequence": 1, "figures": {"a": value}}, "sample")


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, {1: 2}, object()])
def test_refuses_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(MalformedDocumentError):
        canonical_json(value)


def test_problems_are_listed_one_a_line_with_their_place() -> None:
    text = b'{"kind":"edge","sdk_abi":"0.4.0","artifact":"research","risk_limits":{"max_position_1e8":"-1","x":1}}'
    with pytest.raises(MalformedDocumentError) as caught:
        read_document(BUNDLE, text, "my.bundle.json")
    lines = str(caught.value).splitlines()
    assert "my.bundle.json" in lines[0]
    for wanted in (
        "edge.wasm: required field is missing",
        "edge.artifact: ",
        "edge.risk_limits.max_position_1e8: ",
        "edge.risk_limits.x: unknown field",
        "edge.config: required field is missing",
    ):
        assert sum(line.strip().startswith(wanted) for line in lines[1:]) == 1
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"price":"1","price":"2"}', "'price' twice"),
        (b'{"price":NaN}', "NaN"),
        (b"[]", "Sample"),
        (b"null", "Sample"),
    ],
)
def test_refuses_text_that_is_no_document(text: bytes, reason: str) -> None:
    with pytest.raises(MalformedDocumentError, match=reason):
        read_document(Sample, text, "the file")


def test_a_manifest_of_another_kind_is_refused() -> None:
    with pytest.raises(MalformedDocumentError):
        read_document(EdgeBundle, {"kind": "sor"}, "bundle")


def test_text_that_is_not_unicode_is_named() -> None:
    for value in ({"a": ["x", "bad \udc80"]}, {"bad \udc80": 1}, "bad \udc80"):
        with pytest.raises(MalformedDocumentError, match=r"'bad \\udc80' is not valid Unicode"):
            canonical_json(value)


@given(JSON | ASCII_NAMES | st.floats(1e-5, 1e-3) | st.floats(1e15, 1e17))
def test_the_quick_way_writes_what_rfc8785_writes(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


def test_a_copy_with_other_values_has_another_digest() -> None:
    first = Sample(price=1, sequence=1, figures={})
    assert first.digest() != first.model_copy(update={"price": 2}).digest()
    assert first.model_copy() == first == Sample(price=1, sequence=1, figures={})
