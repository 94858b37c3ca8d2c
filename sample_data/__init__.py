"""Sample images, their dense masks and block labels."""
