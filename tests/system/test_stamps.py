"""How a file looks, so that a change of it is noticed."""

import os

import pytest

from sails.system.stamps import stamp, stamp_or_none


def test_a_file_that_nobody_changed_looks_the_same(tmp_path):
    (tmp_path / "a").write_text("one")
    assert stamp(tmp_path / "a") == stamp(str(tmp_path / "a"))
    assert stamp(tmp_path / "a").size == 3


def test_another_length_time_or_file_is_noticed(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    seen = {stamp(path)}
    path.write_text("three")
    os.utime(path, ns=(1, 1))
    seen.add(stamp(path))
    os.utime(path, ns=(2, 2))
    seen.add(stamp(path))
    (tmp_path / "b").write_text("other")
    os.utime(tmp_path / "b", ns=(2, 2))
    os.replace(tmp_path / "b", path)
    seen.add(stamp(path))
    assert len(seen) == 4


def test_a_file_that_is_not_there_has_no_stamp(tmp_path):
    assert stamp_or_none(tmp_path / "gone") is None
    with pytest.raises(FileNotFoundError):
        stamp(tmp_path / "gone")
