"""The methods: each makes a fingerprint and a meta-verifier from the zoo."""
