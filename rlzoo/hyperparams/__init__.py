"""Published hyperparameters: one TOML an algorithm, read by `training/config.py`."""
