"""What programs and tools call: launching runs from a config."""
