"""Interactive mode: a preview seconds after the first strokes, while the whole network learns.

The encoder stays as it is. Each image goes through it once (:mod:`features`); a small head learns
from those features whenever strokes come in (:mod:`head`), and starts the whole network, which goes
on learning behind it (:mod:`background`). :mod:`session` joins them.
"""
