"""Models, losses, the corpus reader, the training loop, evaluation and separation."""

import os

# OpenMP's threads spin while they wait for each other, unless this is set before torch is loaded.
# When another process takes a core (one decoding worker is enough), spinning makes a training step
# 4 to 20 times slower on two cores. On an idle machine, sleeping costs nothing measurable.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
