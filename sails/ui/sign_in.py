"""Who signed in, by OpenID Connect as Streamlit does it, and what they may do.

The tables `auth` (Streamlit's own: where people sign in) and `access` (ours: who has which role, see
`sails.system.roles`) stand in `.streamlit/secrets.toml`, or in the file that STREAMLIT_SECRETS_FILES names.
Without both there is no sign-in. Where they cannot be read, or were here once and are gone, nobody may do
anything. Imported by the frame, so that `system.visitor()` asks here, in a callback and a refresh as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from streamlit import auth_util, config, runtime
from streamlit.errors import StreamlitSecretNotFoundError
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from sails import system
from sails.errors import RequestError, SailsError
from sails.models import Workspace
from sails.system import Rules, Visitor
from sails.ui import who

MIN_SECRET = 32  # characters: whoever guesses it can sign in as anybody
THIS_COMPUTER = "127.0.0.1"
DEFAULT = "default"  # Streamlit's name of a provider that has no name
_seen = False  # there was sign-in since this server started


def is_on() -> bool:
    """Tell whether people must sign in; raises `RequestError` when nobody can tell."""
    global _seen
    _seen = _seen or bool(_tables())
    return _seen


def check() -> None:
    """Raise `RequestError` when sign-in is set up in a way that cannot work or would keep nobody out."""
    auth = _tables().get("auth", {})
    where = "See docs/SECURITY.md."
    if not isinstance(auth, Mapping) or not auth:
        raise RequestError("There are roles, and no table auth that says where people sign in.", where)
    if not auth_util.is_authlib_installed():
        raise RequestError("Sign-in needs the library Authlib.", "Install requirements.txt.")
    for key in ("redirect_uri", "cookie_secret"):
        if not isinstance(auth.get(key), str):
            raise RequestError(f"The table auth has no {key}.", where)
    if len(auth["cookie_secret"]) < MIN_SECRET:
        problem = f"The cookie_secret has fewer than {MIN_SECRET} characters and could be guessed."
        raise RequestError(problem, "Make one: python -c 'import secrets; print(secrets.token_hex(32))'.")
    for name in providers():
        table = auth if name == DEFAULT else auth[name]
        for key in ("client_id", "client_secret", "server_metadata_url"):
            if not table.get(key):
                raise RequestError(f"The table auth has no {key}.", where)
    rules = _rules()
    if not any((*rules.everywhere.values(), *(p for t in rules.workspaces.values() for p in t.values()))):
        raise RequestError("Nobody has a role, so nobody could do anything.", where)


def is_encrypted() -> bool:
    """Tell whether browsers come back from signing in over an encrypted connection."""
    return urlsplit(str(_tables().get("auth", {}).get("redirect_uri", ""))).scheme == "https"


def providers() -> list[str]:
    """Return the names of where people may sign in."""
    auth = _tables().get("auth", {})
    named = [name for name, table in auth.items() if isinstance(table, Mapping) and "client_id" in table]
    return named or [DEFAULT]


def visitor() -> Visitor | None:
    """Return who visits now; None outside of a dashboard."""
    in_page = get_script_run_ctx(suppress_warning=True) is not None
    try:
        if not is_on():
            return Visitor(who.current_name(), _address()) if in_page else None
        rules = _rules()
    except SailsError:
        rules = Rules(Workspace.usual_root().parent)
    if not in_page:
        return Visitor("", rules=rules) if runtime.exists() else None
    person = _person(st.user.to_dict() if st.user.get("is_logged_in") else {}, rules)
    return replace(person, address=_address(), workspace=who.workspace_in_address())


def may_bring_files(cookies: dict[str, str]) -> bool:
    """Tell whether files are taken in from a browser with these cookies: who changes nothing brings none."""
    try:
        if not is_on():
            return True
        secret = get_cookie_secret()
        signed = auth_util.get_cookie_with_chunks(
            lambda name: decode_signed_value(secret, name, cookies.get(name, "")), USER_COOKIE_NAME
        )
        claims, rules = json.loads(signed) if signed else {}, _rules()
    except (SailsError, ValueError):
        return False
    if not claims.get("is_logged_in"):
        return False
    person = _person(claims, rules)
    places = (None, *(rules.root / name for name in rules.workspaces))
    return any(person.role_in(place) in ("trainer", "admin") for place in places)


def _person(claims: Mapping[str, Any], rules: Rules) -> Visitor:
    """Who says that, by a cookie that nobody else can make; nobody without claims."""
    email = str(claims.get("email") or "") if claims.get("email_verified", True) in (True, "true") else ""
    groups: Any = claims.get(rules.groups_claim) or ()
    return Visitor(
        email or str(claims.get("sub") or ""),
        email=email,
        groups=frozenset([groups] if isinstance(groups, str) else map(str, groups)),
        signed_in=bool(claims),
        rules=rules,
    )


def ask_to_sign_in() -> None:
    """Draw where to sign in, and nothing else, until somebody has and has a role; raises where none can."""
    if not is_on():
        return
    check()
    person = visitor()
    if person is None or not person.signed_in:
        st.title("Sign in", anchor=False)
        st.markdown("Whoever runs this dashboard lets only people in who sign in.")
        for name in providers():
            label = "Sign in" if name == DEFAULT else f"Sign in with {name}"
            if st.button(label, icon=":material/login:", type="primary", key=f"sign-in-{name}"):
                st.login(None if name == DEFAULT else name)
        st.stop()


def sign_out_button() -> None:
    """Draw the button that signs out, in this browser and where the provider lets us, there as well."""
    if st.button("Sign out", icon=":material/logout:", key="sign-out"):
        st.logout()


def _address() -> str:
    return st.context.ip_address or THIS_COMPUTER


def _tables() -> dict[str, Any]:
    """What was written of sign-in and roles, empty where nothing was."""
    if not any(map(os.path.exists, config.get_option("secrets.files"))):
        return {}  # at once, as it is asked at each button
    try:
        secrets = st.secrets.to_dict()
    except StreamlitSecretNotFoundError as error:
        raise RequestError("The file of secrets cannot be read.", "Correct it.") from error
    return {name: secrets[name] for name in ("auth", "access") if name in secrets}


def _rules() -> Rules:
    access = _tables().get("access", {})
    if not isinstance(access, Mapping):
        raise RequestError("access is no table.", "Write [access.roles] above its lines.")
    return Rules.read(access, system.allowed_root(Workspace.usual_root()))


system.ask_first(visitor)
