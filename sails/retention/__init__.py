"""What a model still remembers: the R matrix, ACC, BWT and forgetting, replay, and the gate.

`scores` is what was measured, `lessons` which lessons a model was taught and where their rows lie, `matrix`
all of it together, `measures` the figures and the headline, `replay` which old rows an epoch repeats, `gate`
whether a candidate may be published. Reads files only; `sails.training.scoring` is what measures.
"""

from sails.retention.schema import RETENTION_FILE, Retention, read_retention, write_retention

__all__ = ["RETENTION_FILE", "Retention", "read_retention", "write_retention"]
