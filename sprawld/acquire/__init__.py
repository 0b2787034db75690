"""Acquire: index, fetch, wheel checks, unpack."""
