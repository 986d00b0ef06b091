"""Where the dashboard listens: on this computer only, unless people sign in or `--insecure` is said.

`python -m sails.ui` asks before its server listens. Where `streamlit run` was called directly it listens
already, and every page asks before it shows anything.
"""

from __future__ import annotations

import ipaddress
import os

from streamlit import config, runtime

from sails.errors import RequestError
from sails.ui import guard, sign_in

INSECURE = "SAILS_INSECURE"
OPTION = "--insecure"


def check_exposure() -> None:
    """Raise `RequestError` when others may reach the dashboard and nobody has to sign in.

    Also when sign-in is set up so that it would keep nobody out.
    """
    if signs_in := sign_in.is_on():
        sign_in.check()
    address = config.get_option("server.address")
    if is_local(address) or os.environ.get(INSECURE, "") not in ("", "0"):
        return
    where = address or "every address of this computer"
    said = f"say {OPTION} (or {INSECURE}=1)"
    if not signs_in:
        raise RequestError(
            f"The dashboard would answer on {where}, and nobody has to sign in.",
            f"Leave out --server.address, set up sign-in, or {said} if all who reach it may do everything.",
        )
    if not sign_in.is_encrypted():
        raise RequestError(
            f"The dashboard would answer on {where}, and what signs people in would travel unencrypted.",
            f"Put it behind an address that begins with https and name that in redirect_uri, or {said}.",
        )


def check_page() -> None:
    """Raise as `check_exposure` when a server answers with this page; and where people sign in unguarded."""
    if runtime.exists() and type(runtime.get_instance()) is runtime.Runtime:  # no stand-in
        check_exposure()
        if sign_in.is_on() and not guard.is_in_place():
            raise RequestError(
                "People sign in here, and the dashboard was started without what guards its requests.",
                "Start it with `make run`, or with `python -m sails.ui run app.py`.",
            )


def is_local(address: str | None) -> bool:
    """Tell whether only this computer reaches that address. None stands for every address."""
    if address is None:
        return False
    if address.startswith("unix://"):
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:  # a name; what it leads to may change
        return address == "localhost"
