"""The page at `/` and the OpenAPI document, as files."""
