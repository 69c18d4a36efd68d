"""Work that is shared out: processes of this machine, a Dask cluster, processor cores."""
