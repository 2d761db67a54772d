"""A trained configuration as a folder of files, and what is done with it: load, predict."""
