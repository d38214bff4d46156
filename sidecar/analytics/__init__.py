"""What the ledger says."""
