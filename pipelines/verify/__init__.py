"""`stemlode verify`: is every byte of a corpus what its record says? Free of Beam."""
