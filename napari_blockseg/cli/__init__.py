"""The ``blockseg`` command and the worker process; ``learn`` and ``nets`` load inside commands."""
