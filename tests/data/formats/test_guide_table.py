"""The guide's table of every shape of file is what the files of this folder give."""

import pytest

from sails import models
from tests.data.formats.guide_table import FAMILIES, family_of, table, tried, written
from tests.support.tiny import make_tiny_model

AGAIN = "The files give another table: write it with `python -m tests.data.formats.guide_table`."


def test_the_table_of_the_guide_is_what_is_read(tmp_path):
    assert written() == table(make_tiny_model(tmp_path / "model")), AGAIN


@pytest.mark.embedded
def test_the_embedded_base_model_renders_the_same_table():
    base = models.base_model_path(models.find_base_model(models.DEFAULT_BASE_MODEL))
    assert base is not None
    assert written() == table(base), AGAIN


def test_every_family_has_its_files():
    assert {family_of(one.file) for one in tried()} == set(FAMILIES)
