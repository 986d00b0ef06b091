"""The fields of the form of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from sails import models, system
from sails.data import report_of, reports
from sails.errors import RequestError
from sails.models import Workspace
from sails.sessions import MAX_ROWS_FEW, PRESETS, Settings, Start, option
from sails.training import plan
from sails.training.plan import Expected, Offer, resolve_schedule
from sails.ui.frame import show_errors
from sails.ui.text import plain
from sails.ui.train import lr_advice
from sails.ui.widgets import field

CONTINUE, START_OVER = "continue", "over"
# Where the settings stand: asked in parts of their own, or among the advanced ones. A new one is drawn at the
# end of the right column by itself.
ELSEWHERE = ("preset", "learning_rate", "method", "replay_share", "teach_again")
LEFT, RIGHT = ("epochs", "batch_size", "max_steps", "early_stop"), ("protect", "max_length", "seed", "device")
WIDE = ("publish",)
METHODS = {
    "full": "It can learn the most; its weights, how they change and a copy of them all lie in memory.",
    "lora": "About half that memory, so that larger models fit; it can learn less, and drifts a little more.",
}


# --- what to teach --------------------------------------------------------------------------------


def datasets(workspace: Workspace, wanted: str | None) -> tuple[str, ...]:
    """Ask for datasets, `wanted` at first; says what happens to several."""
    by_name = {report.name: report for report in reports(workspace)}
    if "train_datasets" not in st.session_state:
        first = next(iter(by_name), None)
        if wanted:
            with show_errors() as failed:
                first = report_of(workspace, wanted).name
            first = None if failed else first
        st.session_state["train_datasets"] = [first] if first in by_name else []
    else:  # one may have been deleted or renamed since
        kept = [name for name in st.session_state["train_datasets"] if name in by_name]
        st.session_state["train_datasets"] = kept
    names = st.multiselect(
        "Datasets",
        list(by_name),
        format_func=lambda name: f"{name} ({system.count(by_name[name].rows, 'example')})",
        key="train_datasets",
        placeholder="Choose one or more",
        help="The conversations that the model will learn. The page Data adds more.",
    )
    if len(names) > 1:
        st.caption(
            f"{len(names)} datasets are taught together: they become one dataset of the library, "
            "in which each example stands once."
        )
    return tuple(names)


# --- what it builds on ----------------------------------------------------------------------------


def starting_point(
    workspace: Workspace, expected: Expected, names: Sequence[str]
) -> tuple[Start, str | None, bool]:
    """Ask to continue or start over, from which base model (None: none), and whether to teach all again."""
    situation = expected.situation
    if situation.trained.complete:
        grown = f" (it grew from {situation.trained.base})" if situation.trained.base else ""
        chosen = st.radio(
            "What it builds on",
            [CONTINUE, START_OVER],
            format_func={CONTINUE: "Continue from the trained model", START_OVER: "Start over"}.__getitem__,
            captions=[
                plain(f"It keeps what it knows and learns more{grown}."),
                "A base model learns these examples, and earlier ones only if you say so.",
            ],
            key="train_start",
        )
        if chosen == CONTINUE:
            return "auto", None, False
        st.info(
            "Starting over: the model that you have now is kept as a version first, "
            "and you can go back to it on the page Sessions.",
            icon=":material/undo:",
        )
        teach_again = _teach_again(workspace, names, expected)
        return "base", _base_model(), teach_again
    if situation.trained.state == "incomplete":
        st.warning(
            f"The trained model cannot be used, because {plain(situation.trained.reason)}. "
            "Its files are set aside, and this training starts from a base model.",
            icon=":material/warning:",
        )
    return "auto", _base_model(), False


def _teach_again(workspace: Workspace, names: Sequence[str], expected: Expected) -> bool:
    """Whether the base model is taught the earlier lessons as well; asked only where there are any."""
    earlier = plan.earlier_lessons(workspace, names, expected) if names else plan.Earlier()
    if not earlier.rows:
        return False
    teach_again = st.checkbox(option("teach_again").title, key="train_again")
    st.caption(
        f"There are {lr_advice.earlier_examples(earlier)} beside those chosen above. Without them, "
        "the new model knows nothing of what the present one was taught."
    )
    return teach_again


def _base_model() -> str:
    """A base model of the catalogue, or one that is named in an own field."""
    offered = {offer.model.name: offer for offer in plan.offers()}
    name = st.selectbox(
        "Base model: what the new model grows from",
        [*offered, "Another one"],
        format_func=lambda name: _offer_line(offered[name]) if name in offered else f"{name} …",
        key="train_base",
    )
    if name in offered:
        st.markdown(_offer_facts(offered[name]))
    else:
        name = st.text_input(
            "Its name or folder",
            key="train_other_base",
            placeholder="owner/name on the Hugging Face hub, or a folder on the machine of this dashboard",
            help="Only models that continue a text can be taught. No code that comes with a model is run.",
        ).strip()
        if not name:
            raise RequestError("No base model was named.", "Write its name, or choose one from the list.")
        st.markdown(plain(models.named_base_model(name).note))
    with st.expander("What each base model can and cannot do", icon=":material/help:"):
        for offer in offered.values():
            st.markdown(f"**{plain(_offer_line(offer))}**  \n{_offer_facts(offer)}")
    return name


def _offer_line(offer: Offer) -> str:
    mark = ", recommended for this machine" if offer.recommended else ""
    mark += "" if offer.fits else ", too large for the memory that is free"
    return f"{offer.model.name} ({offer.model.parameters / 1e6:.0f} million parameters{mark})"


def _offer_facts(offer: Offer) -> str:
    model = offer.model
    where = "It is on this machine." if offer.here else "It is downloaded first"
    if not offer.here:
        where += f": {system.size(model.download_bytes)}." if model.download_bytes else "."
    lora = system.gigabytes(models.training_memory(model.parameters, lora=True))
    need = f"Training it needs about {system.gigabytes(model.training_memory_bytes)} of memory, LoRA {lora}."
    return f"{plain(model.note)} {plain(need)} {plain(where)}"


# --- how long, and all that can be set ------------------------------------------------------------


def preset(taught: int) -> str:
    """Ask how thoroughly to train, in rounds for that many examples."""
    chosen: str = st.radio(
        "How thoroughly?",
        list(PRESETS),
        format_func=lambda name: f"{PRESETS[name].title}: {PRESETS[name].description}",
        captions=[
            f"until it knows {100 * preset.known_share:g}% of the answers, "
            f"{system.count(preset.rounds_for(taught), 'round')} at most"
            for preset in PRESETS.values()
        ],
        index=list(PRESETS).index(Settings().preset),
        key="train_preset",
        help="A round (epoch) goes once through all examples. It ends as soon as it knows the lesson: when "
        "in a whole round that share of the answers' text was right.",
    )
    if 0 < taught <= MAX_ROWS_FEW:
        st.caption(
            "So few examples must be repeated often to stick; more at once are better. Afterwards, ask it "
            "something else as well, beside the model from before."
        )
    return chosen


def advanced(taught: int, chosen: str) -> dict[str, Any]:
    """Ask for what most people leave as it is, folded away; None where the preset chooses."""
    usual = resolve_schedule(Settings(preset=chosen), taught)
    about = option("method")
    with st.expander("Advanced settings", icon=":material/tune:"):
        values: dict[str, Any] = {
            "method": st.radio(
                about.title,
                list(about.choices),
                format_func=about.choices.__getitem__,
                captions=[METHODS[name] for name in about.choices],
                key="train_method",
            )
        }
        placeholders = {
            "epochs": f"automatic: up to {usual.epochs}",
            "batch_size": f"automatic: about {usual.token_budget} word pieces",
        }
        others = [name for name in Settings.model_fields if name not in (*ELSEWHERE, *LEFT, *RIGHT, *WIDE)]
        columns = (*st.columns(2), st.container())
        for column, names in zip(columns, (LEFT, (*RIGHT, *others), WIDE), strict=True):
            with column:
                for name in names:
                    values[name] = field(name, key=f"train_{name}", placeholder=placeholders.get(name, ""))
    return values


def name(usual: str) -> str:
    """Ask for the name of the session; empty means that of its dataset."""
    return st.text_input(
        "Name of this training",
        key="train_name",
        placeholder=usual,
        max_chars=plan.LONGEST_NAME,
        help="Under this name you find it on the page Sessions.",
    )


def export() -> bool:
    """Ask whether the ONNX model is made afterwards."""
    about = "The ONNX model is what the chat uses. Verifying compares its answers with the original's."
    label = "Make the ONNX model afterwards and verify it"
    return st.toggle(label, value=True, key="train_export", help=about)
