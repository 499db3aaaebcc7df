"""The shards of a corpus, written and read: tar (WebDataset) and Parquet."""
