"""rlzoo."""
