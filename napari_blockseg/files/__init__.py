"""Images, masks and projects on disk; imports core only."""
