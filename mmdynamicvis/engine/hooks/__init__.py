"""Hooks for models of any host. Import from the modules: they need different packages."""
