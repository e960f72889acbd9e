"""The pages of the documentation, and what generates some of them from the code."""
