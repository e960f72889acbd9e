"""Read functions over the tables, and the readers that wait for positions."""
