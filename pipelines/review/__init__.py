"""`stemlode review`: a sample of scored pairs, judged by ear, to thresholds."""
