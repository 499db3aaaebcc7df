"""The matching rule as SQL."""
