"""The drill: bundles rigged for real against innocent models, and what exposes each."""
