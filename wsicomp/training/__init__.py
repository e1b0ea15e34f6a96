"""Making and measuring the tissue network: labelled slides, patch sets, augmentation, training, evaluation.

Nothing outside imports it but the commands, and it alone imports Keras and TensorFlow, when it trains.
"""
