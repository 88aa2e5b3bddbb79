"""Multi-task vision models that `polyptych` has trained, as PyTorch modules.

    import polyptych

    model = polyptych.load("runs/quickstart/merged")
    maps = model.predict("photograph.jpg")
"""

from polyptych._model import Model, Task, load, predict
from polyptych._program import program

__all__ = ["Model", "Task", "load", "predict", "program"]
