"""The papers' nets, transforms, losses and metrics: tensors only."""
