"""Measuring a model on labelled comments: figures, their uncertainty, comparison with another model, the reports."""
