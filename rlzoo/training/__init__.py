"""Learning: the loops, evaluation, callbacks, checkpoints, runs."""
