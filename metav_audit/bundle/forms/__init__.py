"""The forms of meta-verifiers: each one's forward pass in numpy, a file a form."""
