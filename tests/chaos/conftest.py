"""The broker that the short forms share."""

from tests.integration.conftest import apache_bootstrap

__all__ = ["apache_bootstrap"]
