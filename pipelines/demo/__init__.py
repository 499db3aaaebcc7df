"""`stemlode demo`: the whole flow on music that it makes itself."""
