"""Finding out how an API wants to be asked and where its answers lie: it ends in an endpoint file, in no verdict."""
