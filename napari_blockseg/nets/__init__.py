"""Networks: encoder, decoder, head; :func:`.build.build_network` is the door."""
