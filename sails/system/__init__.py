"""What the operating system gives: locks, files, processes, memory, who may do what."""
