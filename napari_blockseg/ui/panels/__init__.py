"""The four panels of the dock."""
