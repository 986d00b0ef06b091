"""Tests that share a model, or a browser, run in one process: conftest's groups reach pytest-xdist."""

import pytest


def test_the_tests_of_a_file_stay_together(request):
    if not hasattr(request.config, "workerinput"):
        pytest.skip("All tests run in one process.")
    assert request.node.nodeid.endswith("@test_conftest.py")
