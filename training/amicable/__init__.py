"""Amicable examples: inaudible perturbations of a mixture that help given separators."""
