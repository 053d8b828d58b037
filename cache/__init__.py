"""The file between the two stages: pooled features and labels of photographs, in HDF5."""
