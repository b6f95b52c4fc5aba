"""PASCAL VOC: the devkit's folders and result files, and the sets made from SBD."""

from cebench.data.voc.palette import voc_palette as voc_palette
