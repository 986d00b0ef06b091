"""What a certificate says to programs and to people, and what may be read as one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sails.errors import ViewOnlyError
from sails.models.variants import CERTIFICATE, VARIANT_TABLE, VARIANTS
from sails.onnx.certify.certificate import (
    NOT_A_NUMBER,
    AnswerPair,
    Certificate,
    Speed,
    read_certificate,
    read_content,
)
from sails.onnx.certify.report import (
    CERTIFICATE_PAGE,
    as_page,
    certificate_checks,
    certificate_title,
    write_certificate,
)
from sails.system import access

HOSTILE = "<script>alert(1)</script>"
GOOD = Certificate(
    variant="int8",
    passed=True,
    reasons=(),
    max_logit_difference=1.5,
    mean_logit_difference=0.09,
    next_token_agreement=0.998,
    identical_answers=50,
    prompts=60,
    positions=4321,
    source_fingerprint="0123456789abcdef",
    created="2026-01-05T09:15:00+00:00",
    examples=(AnswerPair("What is a variable?", "A name.", "A name."),),
    seconds=41.5,
    spread=3.0,
    excused_answers=8,
    own_prompts=52,
    known_answers=52,
    original_loss=1.25,
    loss=1.254,
    original_speed=Speed(0.24, 16.2, 908_000_000),
    speed=Speed(0.07, 62.1, 414_000_000),
    original_bytes=542_000_000,
    bytes=157_000_000,
)
# As it was written before there were variants.
OLD = {
    "passed": True,
    "reasons": [],
    "max_logit_difference": 1e-5,
    "mean_logit_difference": 1e-6,
    "next_token_agreement": 1.0,
    "identical_answers": 24,
    "prompts": 24,
    "positions": 900,
    "source_fingerprint": "0123456789abcdef",
    "created": "2026-01-05T09:15:00+00:00",
    "examples": [{"prompt": "What is a variable?", "torch": "A name.", "onnx": "A name."}],
    "seconds": 20.5,
}


def test_a_certificate_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_certificate(tmp_path, GOOD)
    assert read_certificate(tmp_path) == GOOD
    assert (tmp_path / CERTIFICATE_PAGE).read_text() == as_page(GOOD)


def test_who_may_only_look_writes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    with pytest.raises(ViewOnlyError):
        write_certificate(tmp_path, GOOD)


def test_a_certificate_of_old_is_one_of_full_precision() -> None:
    found = read_content(OLD)
    assert (found.variant, found.passed, found.speed, found.loss) == ("fp32", True, None, None)
    assert [check.good for check in certificate_checks(found)] == [True, True, True]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"passed"',
        "{}",
        "\x89PNG",
        *(
            json.dumps({**asdict(GOOD), **change})
            for change in (
                {"variant": "int4"},
                {"variant": ["int8"]},
                {"prompts": None},
                {"prompts": "many"},
                {"examples": 3},
                {"examples": [{"prompt": "x"}]},
                {"examples": ["x"]},
                {"speed": 3},
                {"speed": {}},
                {"loss": "low"},
                {"reasons": None},
                {"seconds": []},
                {"prompts": 1e400},
                {"prompts": 10**400},
            )
        ),
    ],
)
def test_what_is_no_certificate_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / CERTIFICATE).write_text(content)
    assert read_certificate(tmp_path) is None


def test_there_is_none_where_there_is_no_file_or_no_text(tmp_path: Path) -> None:
    assert read_certificate(tmp_path) is None
    (tmp_path / CERTIFICATE).write_bytes(b"\xff\xfe\x00")
    assert read_certificate(tmp_path) is None
    (tmp_path / CERTIFICATE).unlink()
    (tmp_path / CERTIFICATE).mkdir()
    assert read_certificate(tmp_path) is None


def test_a_figure_that_is_no_number_becomes_one_that_can_be_shown() -> None:
    found = read_content({**asdict(GOOD), "max_logit_difference": float("nan"), "loss": float("inf")})
    assert (found.max_logit_difference, found.loss) == (NOT_A_NUMBER, NOT_A_NUMBER)
    assert certificate_checks(found)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_thresholds_of_each_variant_judge_its_figures(variant: Any) -> None:
    needed = VARIANT_TABLE[variant].thresholds
    good = replace(GOOD, variant=variant, identical_answers=60, excused_answers=0, next_token_agreement=1.0)
    good = replace(good, max_logit_difference=1e-5, mean_logit_difference=1e-6, loss=1.25)
    assert {check.good for check in certificate_checks(good)} == {True, None}
    bad = replace(
        good,
        passed=False,
        identical_answers=int(60 * needed.identical_answers) - 1,
        next_token_agreement=needed.next_token_agreement - 0.001,
        max_logit_difference=2 * (needed.logit_difference or 1),
        mean_logit_difference=2 * (needed.mean_difference or 1) * good.spread,
        loss=1.25 + 2 * needed.loss,
    )
    assert [check.name for check in certificate_checks(bad) if check.good is False] == [
        check.name for check in certificate_checks(good) if check.good is True
    ]


def test_every_figure_has_a_sentence_and_speed_stands_beside_the_original() -> None:
    found = {check.name: check for check in certificate_checks(GOOD)}
    assert all(check.sentence for check in found.values())
    assert "3.8 times as fast" in found["Speed"].sentence
    assert found["Size"].value == "157 MB"
    assert found["Memory"].value == "414 MB"
    unmeasured = replace(GOOD, speed=replace(GOOD.speed, memory_bytes=0))
    assert "Memory" not in {check.name for check in certificate_checks(unmeasured)}
    assert certificate_title(GOOD) == "The 8-bit model answers like the original."
    assert "does not answer" in certificate_title(replace(GOOD, passed=False))


def test_the_page_is_complete_in_itself_and_escapes_everything() -> None:
    page = as_page(
        replace(
            GOOD,
            passed=False,
            reasons=(HOSTILE,),
            source_fingerprint=HOSTILE,
            created=HOSTILE,
            examples=(AnswerPair(HOSTILE, HOSTILE, ""),),
        )
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5
    assert "http" not in page
    assert "(nothing)" in page
    assert "52 of its lesson" in page
    for check in certificate_checks(GOOD):
        assert check.name in page
