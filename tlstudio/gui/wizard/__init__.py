"""One step of the wizard a file."""
