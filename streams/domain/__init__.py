"""The rules: values in, values out. No framework, no input or output, no clock, no randomness."""
