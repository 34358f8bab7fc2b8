"""The owner's fingerprint: inputs and meta-verifier optimised together, calibrated, evaluated, sealed in a bundle."""
