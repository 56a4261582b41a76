"""Data sets: named ones, files, the built-in digits; splits and batches.

    data = pynet.data.load("mnist")              also "fashion-mnist", "digits", or a path, see load
    data.x_train                                 (60000, 28, 28) uint8: pixels stay bytes, uint8 means x/255 everywhere
    for x, y in pynet.data.batches(data.x_train, data.y_train, batch_size=64, seed=0, epoch=0): ...

    iris = pynet.data.table("iris.csv", target="species")        columns of numbers and texts, see table

    x, y = pynet.data.parquet(["2024.parquet", "2025.parquet"], target="price")      larger than memory, see parquet

Each file format has its own module; download has the named sets, toys the toy data.
"""

from pynet.data.dataset import Dataset, default, is_picture_folder, load
from pynet.data.parquet_files import parquet
from pynet.data.splits import batches, one_hot, shuffled_labels, split, validation_split
from pynet.data.table_model import encode, prepare
from pynet.data.table_set import table
from pynet.data.toys import line, moons, spirals
from pynet.errors import DataError
from pynet.kernels import augmented

__all__ = ["DataError", "Dataset", "default", "is_picture_folder", "load"]
__all__ += ["augmented", "batches", "one_hot", "shuffled_labels", "split", "validation_split"]
__all__ += ["line", "moons", "spirals"]
__all__ += ["encode", "parquet", "prepare", "table"]
