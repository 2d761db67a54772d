"""What an operator does with a database: copy, delete, collect garbage."""
