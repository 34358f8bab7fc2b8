"""Methods measured on models whose lineages neither fit nor calibration saw."""
