"""Of the form of a training: earlier lessons that it repeats, and which learning speed suits it.

It is the automatic one, one that was measured, with the figures that it rests on, or a person's own; what
each costs is said below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st

from sails import jobs
from sails.models import Workspace
from sails.retention import replay_count
from sails.sessions import Advice, Plan, Session, checked_settings, format_rate, option
from sails.system import count, duration, listed, signed
from sails.training.plan import (
    BASE_LEARNING_RATE,
    Choices,
    Earlier,
    Expected,
    TrainingForecast,
    check_learning_rate,
    read_learning_rate,
)
from sails.ui import charts
from sails.ui.charts import Series
from sails.ui.frame import show_errors, stop_on_error
from sails.ui.text import plain
from sails.ui.widgets import change_button

DEFAULT_SHARE = 50  # percent
REFRESH_SECONDS = 1.0

# --- earlier lessons ------------------------------------------------------------------------------


def earlier_examples(earlier: Earlier) -> str:
    """Count them in words: 46 examples of 2 earlier lessons."""
    return f"{count(earlier.rows, 'example')} of {count(earlier.lessons, 'earlier lesson')}"


def replay_share(forecast: TrainingForecast) -> float | None:
    """Ask for the share of earlier examples, None where there are none to repeat; says what it does."""
    if forecast.plan.start_from == "base" or not forecast.earlier.rows:
        return None
    st.session_state.setdefault("train_replay", DEFAULT_SHARE)
    percent: int = st.slider(
        "Revisit earlier lessons",
        0,
        round(100 * (option("replay_share").high or 1)),
        step=5,
        format="%d %%",
        key="train_replay",
        help="A model forgets what it does not practise. Each round goes through the examples chosen above, "
        "and through some of earlier lessons, other ones each time.",
    )
    st.caption(plain(_what_it_means(forecast, percent / 100)))
    return percent / 100


def _what_it_means(forecast: TrainingForecast, share: float) -> str:
    old, new = forecast.earlier.rows, forecast.taught
    repeated = replay_count(new, old, share)
    if not repeated:
        return "No example of an earlier lesson is repeated. That is fastest, and forgets most."
    part, times = repeated / (new + repeated), (new + repeated) / new
    much = "Half" if abs(part - 0.5) < 0.02 else f"{part:.0%}".replace("%", " %")
    longer = "twice as long" if abs(times - 2) < 0.05 else f"{times:.2g} times as long"
    every = ""
    if repeated == old and replay_count(new, 10 * (old + 1), share) > old:
        every = ", the 1 there is" if old == 1 else f", all {old:,} there are"
    what = f"{much} of what it goes through are examples of earlier lessons{every}."
    return f"{what} It takes {longer}, and forgets less."


def describe_replay(forecast: TrainingForecast) -> str:
    """Say what the training repeats of earlier lessons, or why it repeats nothing."""
    earlier = forecast.earlier
    gone = ""
    if earlier.gone:
        lessons = count(earlier.gone, "earlier lesson")
        gone = f" The examples of {lessons} were deleted and cannot be repeated."
    if forecast.repeated and forecast.plan.start_from == "base":
        return f"Each round also teaches {earlier_examples(earlier)} again.{gone}"
    if forecast.repeated:
        return (
            f"In each round it also repeats {count(forecast.repeated, 'example')} of earlier lessons.{gone}"
        )
    if forecast.plan.start_from == "base":
        if earlier.lessons:
            return "It is not taught its earlier lessons again."
        return "This is its first lesson, so there is no earlier one to repeat."
    if not earlier.lessons:
        return "Nobody knows here what this model was taught before, so no earlier lesson can be repeated."
    if earlier.gone == earlier.lessons:
        return "No earlier lesson can be repeated: their examples were deleted."
    if not earlier.rows:
        return "It holds all examples of the earlier lessons, so none is left to repeat."
    return f"No example of an earlier lesson is repeated.{gone}"


# --- the learning speed ---------------------------------------------------------------------------

AUTOMATIC, MEASURED, OWN = "automatic", "measured", "own"
WAYS = {AUTOMATIC: "Automatic", MEASURED: "Measured", OWN: "My own"}


def learning_rate(
    workspace: Workspace, choices: Choices, forecast: TrainingForecast, expected: Expected
) -> Choices:
    """Ask how fast it may learn, and return `choices` with that rate and with what was measured for them.

    Raises `RequestError` for nonsense.
    """
    measurable = choices.settings.method != "lora" and not jobs.why_not(forecast)
    ways = [way for way in WAYS if measurable or way != MEASURED]
    if st.session_state.get("train_speed") not in ways:
        st.session_state["train_speed"] = AUTOMATIC
    way = st.segmented_control(
        option("learning_rate").title,
        ways,
        required=True,
        format_func=WAYS.__getitem__,
        key="train_speed",
        help="How big each step of learning is. Higher learns faster and forgets more.",
    )
    advice = jobs.advice_for(workspace, choices, expected) if measurable else None
    rate = None
    if way == MEASURED:
        _measured_rate(workspace, choices, forecast, expected, advice)
        rate = advice.learning_rate if advice else None
    elif way == OWN:
        rate = _own_rate(forecast.plan)
    else:
        _automatic_rate(forecast, advice)
    return replace(choices, settings=checked_settings(choices.settings, learning_rate=rate), advice=advice)


def _automatic_rate(forecast: TrainingForecast, advice: Advice | None) -> None:
    automatic, faster = format_rate(forecast.plan.automatic_learning_rate), format_rate(BASE_LEARNING_RATE)
    if forecast.plan.start_from == "base":
        st.markdown(f"**{automatic}**: full speed. A base model holds nothing of yours that could suffer.")
    else:
        st.markdown(
            f"**{automatic}**: gentle, so that the model keeps what it was taught before. It takes more "
            f"rounds to know a lesson; at {faster} it takes fewer, and may lose more of what it knows."
        )
    if advice and advice.learning_rate:
        st.caption(f"Measured for this lesson: {format_rate(advice.learning_rate)}.")
    elif automatic != faster and forecast.earlier.rows:
        st.button(
            f"Use {faster} and repeat earlier lessons",
            key="train_faster",
            icon=":material/bolt:",
            on_click=_use_faster,
        )


def _use_faster() -> None:
    # From a callback only: once a field is drawn, Streamlit lets nobody set its value in that run.
    st.session_state["train_speed"] = OWN
    st.session_state["train_rate"] = format_rate(BASE_LEARNING_RATE)
    st.session_state["train_replay"] = DEFAULT_SHARE


def _own_rate(plan: Plan) -> float | None:
    automatic = format_rate(plan.automatic_learning_rate)
    text = st.text_input(
        "Your learning rate",
        key="train_rate",
        placeholder=f"for example 3e-5; empty: automatic, {automatic}",
        max_chars=40,
    )
    rate = read_learning_rate(text)
    if rate is None:
        st.caption(f"Until you write one, the automatic {automatic} is used. You may write 3e-5 or 0.00003.")
        return None
    warnings = check_learning_rate(rate)  # raises for what no training can use
    st.markdown(f"**{format_rate(rate)}**: {_how_much(rate, plan)}")
    for warning in warnings:
        st.warning(plain(warning))
    return rate


def _how_much(rate: float, plan: Plan) -> str:
    automatic, times = format_rate(plan.automatic_learning_rate), rate / plan.automatic_learning_rate
    if abs(times - 1) < 0.01:
        return "the same as automatic."
    if times > 1:
        keep = "" if plan.start_from == "base" else ", and may lose more of what it knows"
        return f"{times:.3g} times the automatic {automatic}. It learns these examples sooner{keep}."
    return f"1/{1 / times:.3g} of the automatic {automatic}. It disturbs less, and needs more rounds."


def _measured_rate(
    workspace: Workspace,
    choices: Choices,
    forecast: TrainingForecast,
    expected: Expected,
    advice: Advice | None,
) -> None:
    automatic = format_rate(forecast.plan.automatic_learning_rate)
    if job := jobs.running_measurement(workspace):
        st.fragment(_measuring, run_every=REFRESH_SECONDS)(workspace, job)
    elif advice is None:
        _not_measured(workspace, choices, forecast, expected)
    elif advice.learning_rate is None:
        st.markdown(f"**No better one was found**, so the automatic {automatic} is used.")
    else:
        rate = format_rate(advice.learning_rate)
        st.markdown(f"**{rate}**: measured for this lesson. Automatic would be {automatic}.")
    if advice:
        st.markdown(plain(advice.reason))
        _trials(advice)
    else:
        st.caption(f"Until it is measured, the automatic {automatic} is used.")


def _not_measured(
    workspace: Workspace, choices: Choices, forecast: TrainingForecast, expected: Expected
) -> None:
    latest = jobs.latest_measurement(workspace, choices, expected)
    if latest and (failure := latest.status.failure):
        st.warning(plain(f"It could not be measured. {failure.message} {failure.remedy}"))
    elif latest and (advice := latest.status.results.advice):
        st.warning(plain(advice.reason))  # it could not be measured
    elif latest and latest.status.resumable:
        st.caption("The last measurement was stopped before its end.")
    st.markdown(
        "Several learning speeds are tried on a copy of the model; your model stays as it is. It takes about "
        f"{duration(jobs.seconds_for(forecast))}, longer while this computer does other things."
    )
    if change_button("Measure the best learning speed", "speed", "train_measure"):
        with show_errors() as failed:
            jobs.start_measurement(workspace, choices)
        if not failed:
            st.rerun()


def _measuring(workspace: Workspace, job: Session) -> None:
    with stop_on_error():
        if jobs.running_measurement(workspace) != job:
            st.rerun()  # what it found stands here from now on
        status = job.status()
        st.markdown("**Measuring the best learning speed …** You may go on filling in this form.")
        st.progress(min(max(status.progress, 0.0), 1.0), plain(status.message or "starting"))
        if job.stop_requested():
            st.caption("It was asked to stop, and ends within a few steps.")
        elif change_button("Stop measuring", "stop_circle", "train_stop"):
            with show_errors():
                jobs.launcher_for(job).stop(workspace, job)
            st.rerun()


def _trials(advice: Advice) -> None:
    """Draw what was measured, at each speed that was tried."""
    if not advice.trials:
        return
    rates = [trial.learning_rate for trial in advice.trials]
    curves = _curves(advice)
    said = (
        f"at {format_rate(rate)} "
        + listed([f"{signed(changes[n], 1)} % on {on}" for on, changes in curves.items()])
        for n, rate in enumerate(rates)
    )
    alt = f"Change of the error by learning speed: {'; '.join(said)}."
    charts.draw(_chart(rates, curves), "train_trials", alt)
    st.caption(
        "For each learning speed that was tried: how its error (loss) changed within a few steps. On general "
        "questions, it is how far its answers moved, as a share of the error on new examples. Below 0 is "
        "better than before; above 0 on anything but new examples, it began to forget."
    )


def _curves(advice: Advice) -> dict[str, list[float]]:
    """How much each loss rose at the rates that were tried, in percent, by what it is the loss on."""
    new, old, general = advice.new_loss, advice.old_loss, advice.general_loss
    curves = {"new examples": [_rise(trial.new_loss, new, new) for trial in advice.trials]}
    if old is not None:
        curves["earlier examples"] = [_rise(trial.old_loss, old, old) for trial in advice.trials]
    if general is not None:
        most = max(general, new)  # as in the rule: before a first lesson it is 0
        curves["general questions"] = [_rise(trial.general_loss, general, most) for trial in advice.trials]
    return curves


def _chart(rates: Sequence[float], curves: Mapping[str, Sequence[float]]) -> go.Figure:
    """How much each loss rose, in percent, over the rates that were tried."""
    figure = charts.lines(
        [Series(name, rates, changes, points=True) for name, changes in curves.items()],
        "Learning speed (learning rate)",
        "Change of its error, %",
        height=260,
    )
    named = [format_rate(rate) for rate in rates]
    figure.update_xaxes(type="log", tickmode="array", tickvals=rates, ticktext=named)
    figure.update_traces(hovertemplate="%{y:+.1f} %")
    return figure


def _rise(after: float | None, before: float, of: float) -> float:
    return 100 * (after - before) / of if after is not None and of else 0.0
