"""Rows of any catalogue, or a folder of audio, as tracks."""
