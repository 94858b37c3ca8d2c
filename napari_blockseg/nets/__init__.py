"""Networks: encoder, decoder, head; :func:`napari_blockseg.nets.build.build_network` is the door."""
