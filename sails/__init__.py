"""MTN Sails: teach a small language model from your own conversations, session after session."""

import os

__version__ = "0.1.0"

# Libraries that would report their use, or keep a record of it, must hear of this before they are imported.
for _name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")
