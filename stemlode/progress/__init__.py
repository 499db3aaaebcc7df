"""How far a run is: what its processes have counted, and all that shows it."""
