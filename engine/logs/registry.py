"""The formats that springtui reads, in the order in which they are asked what a folder holds."""

from __future__ import annotations

from .clearml import ClearML
from .console.format import Console
from .databases.formats import Mlflow, Trackio
from .databases.mlflow_files import MlflowFiles
from .documents.huggingface import HuggingFaceFormat
from .documents.sacred import SacredFormat
from .lines import JsonLines
from .reader import Format
from .swanlab import SwanLab
from .tables.format import DvcliveFormat, TableFormat
from .tensorboard.format import TensorBoard
from .wandb import Wandb

FORMATS: tuple[Format, ...] = (
    TensorBoard(),
    Wandb(),
    SwanLab(),
    Mlflow(),
    Trackio(),
    MlflowFiles(),
    HuggingFaceFormat(),
    SacredFormat(),
    ClearML(),
    DvcliveFormat(),
    JsonLines(),
    TableFormat(),
    Console(),
)
"""The more certain a format's evidence, the earlier it stands: a signature before a table, a table before text."""
