"""Published hyperparameters: one TOML an algorithm, read by `training/published.py`."""
