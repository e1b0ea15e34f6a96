"""Threads that keep an order, and locks that survive a fork."""
