"""A recording to encoded samples. Free of Beam."""
