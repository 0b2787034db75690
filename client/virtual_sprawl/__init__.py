"""Venv-less Python packages: the side that runs in the user's interpreter."""

__version__ = "0.1.0"
