"""`export.json`: what the folder of an ONNX model says of itself, from which model and with what it was made.

    record = ExportRecord.read(Path("workspace/onnx_model"))
    record.fingerprint, record.files

Imports nothing of ours and no library: it is on the way of `sails chat`, and goes along with a model that is
handed over (`sails.onnx.bundle.MODULES`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

EXPORT_RECORD = "export.json"


@dataclass(frozen=True)
class ExportRecord:
    """What was recorded; None or empty where it was not, or not as what it should be. In the file's order.

    `fingerprint` is that of the trained model, `tokenizer` that of its tokenizer and chat template, and
    `created` is UTC in ISO form. `quantized_matrices` and `block` are those of an 8-bit model. `files` are
    the bytes of each file, None where a size is no number; `sha256` their digests, which exports of old have
    not. `note` is one sentence, as a rule empty.
    """

    fingerprint: str | None = None
    variant: str | None = None
    fused_attentions: int | None = None
    quantized_matrices: int | None = None
    block: int | None = None
    opset: int | None = None
    created: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int | None] | None = None
    sha256: Mapping[str, str | None] = field(default_factory=dict)
    note: str = ""
    tokenizer: str | None = None

    @classmethod
    def read(cls, folder: Path) -> ExportRecord | None:
        """Return the record in an ONNX folder; None when there is none, or none that can be read."""
        try:
            content = json.loads((folder / EXPORT_RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return cls.parse(content) if isinstance(content, dict) else None

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> ExportRecord:
        """Take what can be used from the content of a file; never raises."""
        files, digests = content.get("files"), _table(content.get("sha256")).items()
        return cls(
            fingerprint=as_text(content.get("fingerprint")),
            tokenizer=as_text(content.get("tokenizer")),
            variant=as_text(content.get("variant")),
            fused_attentions=_number(content.get("fused_attentions")),
            quantized_matrices=_number(content.get("quantized_matrices")),
            block=_number(content.get("block")),
            opset=_number(content.get("opset")),
            created=as_text(content.get("created")),
            versions={name: str(version) for name, version in _table(content.get("versions")).items()},
            files={name: _number(size) for name, size in files.items()} if isinstance(files, dict) else None,
            # A digest that is no text must not pass for one that was never recorded: it matches no file.
            sha256={name: None if digest is None else str(digest) for name, digest in digests},
            note=as_text(content.get("note")) or "",
        )

    def write(self, folder: Path) -> None:
        """Write the record into a folder that nobody reads yet."""
        facts = asdict(self).items()
        content = {name: fact for name, fact in facts if name == "fingerprint" or fact not in (None, "")}
        (folder / EXPORT_RECORD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
