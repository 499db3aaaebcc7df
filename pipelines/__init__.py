"""The Beam pipelines, one file a verb, and what they share."""
