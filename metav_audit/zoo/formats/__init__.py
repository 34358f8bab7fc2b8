"""Models of other libraries as targets and surrogates: one file a format, its library imported only when it is used."""
