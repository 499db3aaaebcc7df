"""Checkpoints by name: where one lies that is named, and the card that goes with it."""
