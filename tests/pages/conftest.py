"""What tests of several pages stand on: a workspace of their own, and workers that wait to be called."""

from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner

from sails.jobs import launcher
from tests.support.exported import copy_talking, make_talking


@pytest.fixture(scope="session", autouse=True)
def _packages_are_searched_once():
    """Streamlit searches all that is installed for components: for each `AppTest`, a quarter of a second."""
    with pytest.MonkeyPatch.context() as patch:
        search = cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", search)
        yield


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Where the workspace lies that the pages open."""
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    return tmp_path / "workspace"


@pytest.fixture
def started(monkeypatch):
    """Workers are not started by themselves: a test calls them where it can watch."""
    jobs = []
    monkeypatch.setattr(launcher, "start_worker", jobs.append)
    return jobs


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return make_talking(tmp_path_factory.mktemp("talking") / "workspace")


@pytest.fixture
def talking(template, root):
    """A workspace with a trained model of two layers and its ONNX model."""
    return copy_talking(template, root)
