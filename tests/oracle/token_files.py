"""token_files - the token-file classes of Megatron-LM and datatrove, as their packages have them, without torch.

Both packages import torch at their head. Megatron's IndexedDataset and its builder use of it but the name of a base
class, datatrove's dataset as_tensor() on an array; so torch is two stand-ins here, unless it is installed. What reads
and writes the files is the packages' own code, unchanged.
"""
import functools, importlib, importlib.machinery, importlib.util, logging, sys, types

def module(name, **members):
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made.__dict__.update(members)
    sys.modules[name] = made
    return made

def torch_stand_in():
    if importlib.util.find_spec("torch") or "torch" in sys.modules:
        return
    data = module("torch.utils.data", Dataset=object)
    utils = module("torch.utils", data=data)
    module("torch", utils=utils, Tensor=object, long=None, int=None, as_tensor=lambda array, dtype=None: array)

@functools.cache
def megatron():
    """megatron.core.datasets.indexed_dataset, without what megatron.core's own head would import."""
    torch_stand_in()
    spec = importlib.util.find_spec("megatron")
    root = list(spec.submodule_search_locations)[0]
    for name, path in (("megatron", root), ("megatron.core", root + "/core"), ("megatron.core.datasets", root + "/core/datasets")):
        module(name, __path__=[path])
    module("megatron.core.utils", log_single_rank=lambda logger, level, *args: None)
    return importlib.import_module("megatron.core.datasets.indexed_dataset")

@functools.cache
def datatrove():
    """(class that writes .ds, class that reads it)."""
    torch_stand_in()
    logging.disable(logging.INFO)
    from loguru import logger
    logger.remove()
    return (importlib.import_module("datatrove.pipeline.tokens.tokenizer").TokenizedFile,
            importlib.import_module("datatrove.utils.dataset").DatatroveFileDataset)
