"""Folders of multitrack songs: which file is which source of which song."""
