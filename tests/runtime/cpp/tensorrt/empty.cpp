// Everything is in the other library.
