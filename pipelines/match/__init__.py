"""`stemlode match`: a catalogue to candidate pairs, by one of three engines."""
