"""The built-in adapters, one file a protocol; joined to the core by entry points alone."""
