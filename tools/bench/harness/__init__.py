"""What every bench needs: options, processes that are measured, results that are kept and written."""
