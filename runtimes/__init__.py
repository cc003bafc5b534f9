"""Vendor runtimes behind one interface: one adapter file each."""
