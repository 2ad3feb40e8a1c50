"""What a configuration holds, and its files."""
