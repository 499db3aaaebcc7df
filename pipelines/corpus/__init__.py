"""`stemlode corpus`: pairs and multitrack folders to shards and an index."""
