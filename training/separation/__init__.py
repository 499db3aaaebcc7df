"""`stemlode separate`: audio files to their sources."""
