"""Runners on other machines, and what their workers need."""
