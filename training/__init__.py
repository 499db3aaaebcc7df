"""Models, losses, the corpus reader, the training loop, evaluation and separation."""
