"""Which two recordings belong together, by title and by sound."""
