"""Who changed what: a log that is written in the transaction of the change."""
