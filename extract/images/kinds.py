"""Kinds of files by how they begin: those in boxes (HEIF, AVIF), and those that are not read.

Knows beginnings and what to do instead; opens nothing.
"""

from __future__ import annotations

# What is read of a file to tell its kind.
PREFIX_BYTES = 64
RAW = (
    "a RAW file of a camera, not a finished picture: develop it into a JPEG or TIFF, or name the "
    "JPEG that the camera wrote beside it"
)
JPEG_XL = "JPEG XL, which is not read: convert it to PNG or JPEG, with djxl for example"
NO_HEIF = (
    "HEIC or HEIF, which needs the package pi-heif: pip install 'aesthetic-heads[heif]', then "
    "try again (extract: --retry-failed)"
)
# Canon's .cr2, Olympus' .orf, Panasonic's .rw2, Fujifilm's .raf; what is a TIFF by its beginning
# (.nef, .arw, .dng) is told by its directory.
RAW_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW")
JPEG_XL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
# ISO/IEC 23008-12, annex B: HEVC's brands; those of any codec are told by the brands beside them.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
AVIF_BRANDS = (b"avif", b"avis")
ANY_CODEC = (b"mif1", b"msf1", b"mif2")


def boxed(prefix: bytes) -> str:
    """Return HEIF or AVIF where a file's boxes say so, '' for any other file."""
    if prefix[4:8] != b"ftyp":
        return ""
    major, beside = prefix[8:12], prefix[16 : int.from_bytes(prefix[:4], "big")]
    brands = [major]
    if major in ANY_CODEC:
        brands = [beside[at : at + 4] for at in range(0, len(beside), 4)]
    if any(brand in AVIF_BRANDS for brand in brands):
        return "AVIF"
    return "HEIF" if major in ANY_CODEC or major in HEIF_BRANDS else ""


def advice(prefix: bytes) -> str:
    """Return why a kind of file is not read and what to do instead; '' for any other."""
    if prefix.startswith(RAW_STARTS) or prefix[8:10] == b"CR" or prefix[4:12] == b"ftypcrx ":
        return RAW
    return JPEG_XL if prefix.startswith(JPEG_XL_STARTS) else ""
