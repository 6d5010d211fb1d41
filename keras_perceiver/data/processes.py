"""Work in processes of its own: started afresh, and gone when the one that asked is."""

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading

# What is asked of a worker, set when it starts: sent once, not with each task.
_function = None


def in_processes(function, items, workers):
    """`function(item)` of each item, in their order, from worker processes.

    Workers are started afresh ("spawn"): a script that uses them needs its
    `if __name__ == "__main__":`, and what it imports outside of that they import too.

    Args:
        function: what is called; it, items and results must pickle.
        items: a sequence.
        workers: number of processes; 1 for this one.

    Returns:
        An iterator.
    """
    if workers == 1:
        yield from map(function, items)
        return
    with concurrent.futures.ProcessPoolExecutor(
        max(1, min(workers, len(items))),
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(function,),
    ) as pool:
        yield from pool.map(_call, items)


def end_with_parent():
    """End this process when its parent has ended: one that is killed tells nobody."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def parse_flags():
    """Let Grain read the flags it needs for processes, in any program."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def start_worker(index, count):
    """What a worker process of Grain does before it makes batches."""
    end_with_parent()
    # A terminal sends Ctrl-C to all processes: this one is needed to the end of a step.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What of an augmentation is computed by Keras is computed on the CPU: the accelerator
    # belongs to the process that trains.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if "jax" in sys.modules:  # Grain imports it where it is installed
        sys.modules["jax"].config.update("jax_platforms", "cpu")


def _start(function):
    global _function
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it, without a traceback.
    # There is a process for each core: `tokenizers` need not use them all from each.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _function = function


def _call(item):
    return _function(item)
