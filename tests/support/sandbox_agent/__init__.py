"""The real sandbox-agent 0.4.2 server, the peer whose HTTP API our runner speaks too."""
