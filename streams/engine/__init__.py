"""Log-first processing on Faust: outputs, then the changelog, then the table."""
