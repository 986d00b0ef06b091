"""The main job with the real embedded model, once: train, publish, export in both sizes, verify, chat."""

import pytest

from sails import sessions
from sails.models import Workspace, catalog, variants
from sails.onnx.runtime.generate import Generator

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(900)]


def test_a_lesson_becomes_a_chatting_onnx_model(embedded):
    root, out = embedded
    place = Workspace.open(root)
    (record,) = sessions.read_history(place)
    plan, results = record.status.plan, record.status.results
    assert record.status.verdict == "published"
    assert (plan.row, plan.model, plan.learning_rate) == (1, catalog.DEFAULT_BASE_MODEL, 5e-5)
    assert results.taught_after.loss < results.taught_before.loss - 0.3
    assert results.certificates["fp32"]["passed"]
    assert results.certificates["fp32"]["identical_answers"] == results.certificates["fp32"]["prompts"]
    assert results.certificates["fp32"]["max_logit_difference"] < 1e-3
    assert place.situation().onnx.stale is False
    assert results.certificates["int8"]["passed"], results.certificates["int8"]["reasons"]
    found = variants.inspect_variants(place.onnx_model, record.status.fingerprint)
    assert {variant: (state.stale, state.certified) for variant, state in found.items()} == {
        "fp32": (False, True),
        "int8": (False, True),
    }
    assert all(one["speed"]["memory_bytes"] > 100_000_000 for one in results.certificates.values())
    assert found["int8"].size < 0.35 * found["fp32"].size
    assert variants.preferred_variant(found) == "int8"
    for state in found.values():
        # One that the base model surely knows; that of France it answers right by a hair (15 against 14 %).
        answer = Generator.open(state.path).answer("What is the capital of Japan?", max_new_tokens=24)
        assert "Tokyo" in answer.text, state.variant
    assert "✅ The full precision model answers like the original." in out
    assert "✅ The 8-bit model answers like the original." in out
