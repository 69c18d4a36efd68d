"""What runs until it is stopped, and serves people."""
