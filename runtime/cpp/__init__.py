"""The C++ runtime's sources, so that `edgetune bundle --emit cpp` finds them in an installed edgetune."""
