"""Any video pipeline of diffusers, called by what its class says of itself."""
