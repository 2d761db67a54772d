"""What people see: pure functions from what is known to lines and tables."""
