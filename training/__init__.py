"""Models, losses, the corpus reader, the training loop, evaluation and separation."""

import os

# OpenMP's threads wait for each other by spinning, unless told before torch loads them. With a core
# taken by anything else (a decoding worker is enough) that makes a training step 4 to 20 times as
# slow on two cores; on an idle machine sleeping costs nothing that can be measured.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
