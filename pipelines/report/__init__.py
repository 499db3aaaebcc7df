"""`stemlode report`: run folders to one HTML page. Free of Beam."""
