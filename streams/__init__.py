"""Events, and the views folded from them. Nothing here knows HTTP."""
