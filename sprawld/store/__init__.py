"""The store: tree, durability, leases, gc."""
