"""The user's settings: the app's file and our table beside each other, neither losing a key of the other."""
