"""Raw answers to typed rows. Nothing here touches a socket, and nothing here imports web3."""
