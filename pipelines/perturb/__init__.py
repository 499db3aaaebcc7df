"""`stemlode perturb-songs`: multitrack songs → a perturbed mixture of each, on any runner."""
