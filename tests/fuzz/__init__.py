"""Requests made up from the OpenAPI document, by schemathesis: every answer must be one that the document describes."""
