"""The tamper-evident log: pure functions over its entries."""
