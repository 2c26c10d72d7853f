"""Schemas of the custom resources that deploy/kubernetes uses; README.md says where they come from."""
