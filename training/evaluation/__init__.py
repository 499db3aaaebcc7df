"""`stemlode evaluate`: estimates against true stems."""
