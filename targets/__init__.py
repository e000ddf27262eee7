"""One TOML file per device family; read by ``edgetune.target``. To add a device, add a file."""
