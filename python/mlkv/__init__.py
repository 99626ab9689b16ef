"""libmlkv for Python: an embeddable, typed, compressed store for machine-learning programs, with redis-py's methods.

    import mlkv
    db = mlkv.open("features")              # was: redis.Redis(host="localhost")
    db.hset("user:1", mapping={"name": "Ada", "age": 36})
    db.hgetall("user:1")                    # {b'age': b'36', b'name': b'Ada'}

Needs nothing but the standard library and libmlkv itself; numpy and torch are used when they are there.
"""

from . import errors
from ._computing import Absent, CachedFunction
from ._lending import TensorLoan
from ._library import VERSION as __version__
from ._locks import Lock, LockError, LockNotOwnedError
from ._models import Model, ModelInfo, Publication
from ._nearest import Nearest
from ._samples import Imported, Sample, Samples
from ._dictionaries import DictionaryInfo
from ._salvage import SalvageReport, salvage
from ._tensors import DTYPES, DType, TensorInfo
from ._transfer import Transfer
from .client import Client, Report, Snapshot, Transaction, open
from .errors import *  # noqa: F401,F403
from ._waiting import Watch
from .pipeline import Pipeline

Redis = StrictRedis = Client
exceptions = errors  # redis-py's name for it

__all__ = [
    "Absent", "CachedFunction", "Client", "DTYPES", "DType", "DictionaryInfo", "Lock", "LockError", "LockNotOwnedError", "Nearest",
    "Pipeline", "Redis", "Report",
    "Snapshot", "StrictRedis", "TensorInfo", "TensorLoan", "Transaction", "Transfer",
    "Model", "ModelInfo", "Publication",
    "Watch", "__version__",
    "Imported", "Sample", "Samples", "SalvageReport", "salvage",
    "errors", "exceptions", *(name for name in errors.__all__ if name not in ("CLASSES", "error_of")),
]  # fmt: skip
