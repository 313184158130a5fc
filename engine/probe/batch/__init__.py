"""The probe batch: inputs, masks, graphs, the classes of its samples, and batches from a loader."""
