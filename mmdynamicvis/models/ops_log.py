"""Forwarding of the ops' log messages about backends to the log of mmengine's Runner."""

import logging

from mmengine.logging import MMLogger


class _ToRunner(logging.Handler):
    """Passes records to a Runner's logger, which is not in the hierarchy of ``logging``."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = MMLogger.get_current_instance()
        # Without a Runner, this is mmengine's default logger, which would print to stdout.
        if logger.instance_name != 'mmengine' and logger.isEnabledFor(record.levelno):
            logger.handle(record)


def show_ops_log() -> None:
    """Make the ops log, once each, which backend they use."""
    logger = logging.getLogger('mmdynamicvis.ops')
    if not any(isinstance(handler, _ToRunner) for handler in logger.handlers):
        logger.addHandler(_ToRunner())
        logger.setLevel(logging.INFO)
