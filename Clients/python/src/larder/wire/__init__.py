"""The protocol's bytes: numbers, codecs of fields, and the messages made of them. No input or output here."""
