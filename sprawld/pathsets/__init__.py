"""Path sets: the venv-shaped directories one run imports from."""
