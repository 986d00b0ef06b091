"""Training: rows, batches, the loop, and what came of it."""
