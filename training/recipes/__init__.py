"""Named configurations: what is trained, on what, and how its output is used."""
