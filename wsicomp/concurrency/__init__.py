"""Threads that keep an order, locks that survive a fork, interpreters of networks that threads share."""
