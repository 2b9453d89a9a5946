"""The audit log: who changed which row, written in the transaction of the change."""
