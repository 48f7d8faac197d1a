"""Files of volumes, and of signals: npy and NIfTI."""

from pathlib import Path

import numpy as np

from calco.data.decoding import Corrupt
from calco.data.files import read_npy
from calco.errors import RequestError

VOLUMES = (".npy", ".nii", ".nii.gz")


def read_volume(path: Path) -> np.ndarray:
    """One array from a file of a volume or a signal.

    Raises:
        RequestError: it cannot be read.
    """
    return read_npy(path) if path.suffix.lower() == ".npy" else _read_nifti(path)


def _read_nifti(path: Path) -> np.ndarray:
    try:
        import nibabel
    except ImportError as error:
        raise RequestError(f"To read {path.name} calco needs nibabel: pip install 'calco[volumes]'.") from error
    try:
        return np.asanyarray(nibabel.load(path).dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:  # damaged files raise what their damage leads to
        raise Corrupt(f"{path} is not a readable NIfTI file: {error}.") from error
