"""A programme that tries to make a deployment lose, repeat or misreport something, and a checker that would see it."""
