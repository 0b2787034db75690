"""sprawld: the per-user daemon that owns the package store."""
