"""What the commands for people do. Each talks to a sidecar in this process over the wire, as the app would."""
