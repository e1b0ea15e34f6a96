"""Training and evaluation of the tissue network and of codec models.

Only commands import this package, and it alone imports Keras and TensorFlow, when it trains.
"""
