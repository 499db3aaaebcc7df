"""`stemlode prune`: candidates to pairs that are verified by their sound."""
