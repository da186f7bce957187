"""Files and folders written whole, swapped and watched."""
