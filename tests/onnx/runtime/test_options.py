"""Each option of sampling is declared once, and its range is the one that is refused beyond."""

import math
from dataclasses import fields

import pytest

from sails.chat import GenerationSettings
from sails.cli import app
from sails.errors import RequestError
from sails.onnx import Sampling, sampling_options
from sails.onnx.runtime.options import SamplingOptions

OPTIONS = sampling_options()


def test_every_field_is_declared_and_the_chat_knows_it():
    assert [field.name for field in fields(SamplingOptions)] == list(OPTIONS)
    assert set(OPTIONS) < {field.name for field in fields(GenerationSettings)}
    assert set(GenerationSettings().sampling()) == set(OPTIONS)
    assert all(option.title and option.help for option in OPTIONS.values())


def test_the_command_line_has_an_option_for_each(capsys):
    assert app.main(["chat", "--help"]) == 0
    shown = capsys.readouterr().out
    for name, option in OPTIONS.items():
        assert (option.flag or f"--{name.replace('_', '-')}") in shown


@pytest.mark.parametrize("name", sampling_options(Sampling))
def test_what_is_out_of_its_range_is_refused_in_words(name):
    option = sampling_options(Sampling)[name]
    at_most = option.low + 1 if math.isinf(option.high) else option.high
    assert getattr(Sampling(**{name: at_most}), name) == at_most
    wrong = [option.low if option.above else option.low - 1, math.inf, math.nan]
    for value in (*wrong, *(() if math.isinf(option.high) else (option.high * 1.01,))):
        with pytest.raises(RequestError, match=option.limit.split("(")[0].strip()):
            Sampling(**{name: value})
