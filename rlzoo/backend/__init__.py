"""The engines: one module each, with the same ops (`ops`) and verbs (`compile`, `asarray`, `to_numpy`, `device`)."""
