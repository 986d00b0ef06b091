"""The page Bridge."""
