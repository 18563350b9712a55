"""Files that ship with the app: icons and, later, weights. Found through `core.paths.resource_path`."""
