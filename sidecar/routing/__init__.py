"""Which model, in which order, and for how long."""
