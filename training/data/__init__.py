"""A corpus read for training: windows, mixing, levels, examples."""
