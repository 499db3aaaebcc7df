"""Which addresses of a catalogue are opened: one rule for every verb. Imports nothing of ours."""
