"""Reads a model and says what is in it; never changes it."""
