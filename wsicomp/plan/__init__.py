"""The plan: every decision of a conversion, and the record of how it turned out."""
