"""The dashboard's server: Streamlit, with all that pages need loaded before anybody visits.

python -m sails.ui run app.py        (options as for `streamlit run`, and --insecure)
"""

import gc
import os
import sys

try:
    from starlette.applications import Starlette
    from streamlit import config
    from streamlit.runtime import Runtime
    from streamlit.web.cli import main
    from streamlit.web.server.starlette import create_starlette_app, starlette_server

    from sails import system
    from sails.errors import SailsError
    from sails.ui import bridge, chat, data, export, exposure, sessions, train
    from sails.ui.guard import Guard
    from sails.ui.server import TellsWhereItIs
except ImportError as error:
    sys.exit(
        f"A library is missing, or not of the version that is needed: {error}. Install requirements.txt."
    )


def _make_server(runtime: Runtime) -> Starlette:
    server = create_starlette_app(runtime)
    server.add_middleware(TellsWhereItIs)
    server.add_middleware(Guard)  # around all else
    return server


def _check() -> None:
    try:
        exposure.check_exposure()
    except SailsError as error:
        print(error.sentence, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)


if __name__ == "__main__":
    if exposure.OPTION in sys.argv:
        sys.argv.remove(exposure.OPTION)
        os.environ[exposure.INSECURE] = "1"
    config.on_config_parsed(
        _check, force_connect=True
    )  # its options are known then, and it does not listen yet
    for door in (bridge, chat, data, export, sessions, train):
        for name in door.__all__:
            getattr(door, name)
    gc.collect()
    gc.freeze()  # what is loaded stays; to look through it for garbage would hold up everybody
    system.keep_private()
    starlette_server.create_starlette_app = _make_server  # type: ignore[attr-defined]
    main(prog_name="streamlit")
