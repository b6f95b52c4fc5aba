"""PASCAL VOC: the devkit's folders and result files, and the sets made from SBD."""
