"""What a report says of `evaluate`: scores, spectra, and how well pitch is heard."""
