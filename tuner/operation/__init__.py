"""Operations on a database: copy, delete, collect garbage."""
