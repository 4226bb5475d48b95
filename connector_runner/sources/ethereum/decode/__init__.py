"""Decodes raw answers to typed rows. No module here opens a socket or imports web3."""
