"""The verbs of the registry: what changes a version's place in service, and what is told of it."""
