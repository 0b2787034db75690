"""Lockfiles: find, read, select."""
