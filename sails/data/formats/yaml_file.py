"""YAML: rows as in JSON, ChatterBot's corpora, and the parts of a Rasa bot.

Every scalar is read as the text that stands there, so that an answer “yes” or “1.0” stays what it is.
"""

from __future__ import annotations

from typing import Any

from sails.data.formats.json_document import several, source_of_document
from sails.data.formats.source import Source
from sails.errors import ConversationFileError


def read_yaml(text: str, name: str) -> Source:
    documents = documents_of(text, name)
    if len(documents) > 1:
        return several("yaml", documents)
    return source_of_document("yaml", documents[0], name)


def documents_of(text: str, name: str) -> list[Any]:
    """Return the documents of a YAML file, those that hold something; raises ConversationFileError."""
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        # A few lines of aliases can stand for more than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise ConversationFileError(
                f"{name} refers to parts of itself (with *), which is not read.", "Write them out."
            )
        documents = [document for document in yaml.load_all(text, Loader=loader) if document]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ConversationFileError(
            f"{name} is damaged, or has a mistake in its YAML{line}.", "Correct it, or export it as JSON."
        ) from error
    if not documents:
        raise ConversationFileError(f"{name} holds no conversations.", "Choose a file that has some.")
    return documents
