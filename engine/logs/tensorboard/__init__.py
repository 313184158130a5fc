"""TensorBoard's event files, as torch, tensorboardX, Keras, Lightning and others write them."""
