"""The Beam pipelines and the pages: one folder per verb, and what they share."""
