"""Pairs that are true but not perfect, mended and measured again.

A pair's clock says which time of the instrumental belongs to which of the mixture (`clock`). It is
found from the delays of many short windows (`timing`): one straight piece for a recording that runs
faster or slower, a curve for one that drifts, one part each for stretches that match at offsets of
their own (`parts`). `varispeed` moves the instrumental onto the mixture's clock; what is then
measured, by `repair`, is measured of the mended pair, as of any other.
"""
