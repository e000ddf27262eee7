"""Structured pruning: whole channels go, so the network gets smaller and not just sparser."""
