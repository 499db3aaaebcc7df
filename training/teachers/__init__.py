"""Anything that separates, as a teacher of unlabelled music."""
