"""`stemlode pseudolabel`: unlabelled tracks and a teacher to labelled shards."""
