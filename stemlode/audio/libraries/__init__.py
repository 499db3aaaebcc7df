"""The libraries that decode."""
