"""Configuration: the schema, reading it from YAML and overrides, printing it."""
