"""Talking with a model: conversations, who answers, saved prompts, differences."""
