"""The settings of a training: declared once, met wherever a person chooses or reads one."""

import pytest
import typer
from streamlit.testing.v1 import AppTest

from sails.cli.app import all_commands
from sails.models.workspace import Workspace
from sails.sessions import PRESETS, Settings, checked_settings, flag, option, read_history
from sails.sessions.presets import PRESET_ROWS, Preset
from sails.training.plan.schedule import resolve_schedule
from sails.ui.sessions import comparison
from tests.conftest import REPOSITORY
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session, published

NAMES = tuple(Settings.model_fields)
BY_OTHER_WORDS = {
    "preset",
    "replay_share",
    "teach_again",
}  # a question of its own, or asked only when it matters


@pytest.mark.parametrize("command", ["train", "pipeline"])
def test_every_setting_is_an_option_with_its_default_and_its_sentence(command):
    parameters = {p.name: p for p in typer.main.get_command(all_commands()).commands[command].params}
    for name in NAMES:
        assert parameters[name].opts == [flag(name)]
        assert parameters[name].default == Settings.model_fields[name].default
        assert parameters[name].help == option(name).help


def test_every_setting_is_a_field_of_the_form_with_its_title(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "workspace")
    monkeypatch.setenv("SAILS_WORKSPACE", str(workspace.root))
    add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    page = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60).run()
    page = page.switch_page("pages/2_Train.py").run()
    assert not page.exception
    kinds = (
        "number_input",
        "text_input",
        "selectbox",
        "toggle",
        "radio",
        "checkbox",
        "slider",
        "button_group",
    )
    labels = {widget.label for kind in kinds for widget in page.get(kind)}
    assert {option(name).title for name in NAMES if name not in BY_OTHER_WORDS} <= labels


def test_every_setting_is_compared_between_sessions(tmp_path):
    workspace = Workspace.open(tmp_path)
    make_session(workspace, "one", **published())
    lines = [line.label for line in comparison.compare_settings(read_history(workspace))]
    assert len(lines) == len(set(lines))
    told_with_the_rounds = {"preset"}
    assert {option(n).label or option(n).title for n in NAMES if n not in told_with_the_rounds} <= set(lines)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_can_be_changed_when_a_session_is_run_again_and_says_what_cannot_be(name):
    base = Settings(epochs=4, preset="quick")
    default = Settings.model_fields[name].default
    assert checked_settings(base, **{name: default}) == base.model_copy(update={name: default})
    assert option(name).what


def test_a_preset_that_is_added_to_the_table_can_be_chosen_and_has_its_rounds(monkeypatch):
    once = Preset("Once", "to try it", rounds=(1,) * len(PRESET_ROWS), known_share=0.9)
    monkeypatch.setitem(PRESETS, "once", once)
    assert resolve_schedule(checked_settings(preset="once"), 10).epochs == 1
