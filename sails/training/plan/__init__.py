"""Before a training: what it will do, what it needs and how long it takes."""
