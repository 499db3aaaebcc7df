"""Which two recordings belong together, by ear. Pure functions of arrays."""
