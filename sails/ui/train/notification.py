"""A button that lets the browser say when a session has ended, for who looks at something else meanwhile.

Off until a person presses it, for one session and one tab; the browser asks whether it may. What it shows is
text, never markup, and nothing leaves the browser.
"""

from __future__ import annotations

import streamlit as st

from sails.sessions import Session, Status

HTML = '<button type="button">Tell me when it is done</button><p role="status"></p>'
CSS = """
button {
  padding: 0.4rem 0.75rem;
  border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius);
  background: var(--st-background-color);
  color: var(--st-text-color);
  font: inherit;
  font-size: 0.875rem;
  cursor: pointer;
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
p { margin: 0; font-size: 0.875rem; color: var(--st-text-color); }
[hidden] { display: none; }
"""
JS = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button"), said = parentElement.querySelector("p");
  const wish = "sails-tell-" + data.session;
  const may = () => "Notification" in window && Notification.permission === "granted";
  const show = () => {
    const wished = sessionStorage.getItem(wish) !== null;
    button.hidden = data.ended || (wished && may());
    said.textContent = data.ended || !wished ? "" : may() ? data.promise : data.refusal;
  };
  button.onclick = async () => {
    if ("Notification" in window) await Notification.requestPermission();
    sessionStorage.setItem(wish, "yes");
    show();
  };
  if (data.ended && sessionStorage.getItem(wish) !== null) {
    sessionStorage.removeItem(wish);
    // Some browsers of phones have notifications and let no page make one.
    try { if (may()) new Notification(data.title, { body: data.body, tag: data.session }); } catch {}
  }
  show();
}
"""
PROMISE = "Your browser will tell you, as long as this page stays open in a tab."
REFUSAL = "Your browser allows no messages from this page. The title of its tab shows when it is done."

_component = st.components.v2.component("sails_notification", html=HTML, css=CSS, js=JS)


def tell_when_done(session: Session, called: str, status: Status, ended: str) -> None:
    """Draw the button while the session is not over, and let the browser say `ended` once it is."""
    data = {
        "session": session.id,
        "ended": status.state not in ("queued", "running"),
        "title": ended,
        "body": called,
        "promise": PROMISE,
        "refusal": REFUSAL,
    }
    _component(data=data, key=f"tell_{session.id}", width="content")
