"""Files of tables as they are written: their columns, and their rows a batch at a time."""
