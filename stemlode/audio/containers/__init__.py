"""What a file says of its sound before it is decoded."""
