"""A model of the owner's own behind HTTP, for rehearsals: Open Inference Protocol v2 on the standard library."""
