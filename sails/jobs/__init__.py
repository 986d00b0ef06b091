"""How a worker is started, watched and stopped; `local` is the only launcher so far."""
