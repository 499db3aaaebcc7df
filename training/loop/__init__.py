"""`stemlode train`: the training loop and what it needs."""
