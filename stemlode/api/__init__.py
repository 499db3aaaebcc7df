"""The Python API: what `stemlode/__init__.py` offers, but for what needs PyTorch."""
