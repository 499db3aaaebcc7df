"""`stemlode finetune`: self-boosting on unlabelled songs (BSRNN, section III)."""
