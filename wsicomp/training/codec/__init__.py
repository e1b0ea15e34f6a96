"""Training and measuring codec models: tiles through a bottleneck, as small and as true as can be."""
