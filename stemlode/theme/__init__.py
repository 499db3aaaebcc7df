"""What every page of ours looks like: one style, light and dark, and the shades of spectrograms."""
