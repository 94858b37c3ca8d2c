"""``blockseg demo``: the whole job on the bundled samples, and pictures of it."""
