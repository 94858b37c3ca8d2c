"""The napari dock: session, layers, panels. Knows napari and Qt, never torch."""
