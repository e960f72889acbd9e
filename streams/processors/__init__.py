"""One file per processor: its topics, its table, and how records become what its folds take."""
