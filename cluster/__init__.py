"""A cluster on one machine: every Beam verb on workers that share nothing with the launcher."""
