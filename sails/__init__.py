"""MTN Sails: teach a small language model from your own conversations, session after session."""

__version__ = "0.1.0"
