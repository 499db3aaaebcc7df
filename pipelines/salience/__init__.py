"""`stemlode salience`: a corpus with isolated vocals → the salience of their pitch beside it."""
