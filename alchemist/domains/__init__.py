"""The resources of the service, one package each, ranked by foreign key."""
