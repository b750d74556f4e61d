"""What the ops say about their backends, in the log that mmengine's Runner writes."""

import logging

from mmengine.logging import MMLogger


class _ToRunner(logging.Handler):
    """Passes records on to a Runner's logger, which is none of logging's own."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = MMLogger.get_current_instance()
        # Without a Runner that is mmengine's default, which would print to a script's output.
        if logger.instance_name != 'mmengine' and logger.isEnabledFor(record.levelno):
            logger.handle(record)


def show_ops_log() -> None:
    """Let the ops explain, once each, which backend they run on."""
    logger = logging.getLogger('mmdynamicvis.ops')
    if not any(isinstance(handler, _ToRunner) for handler in logger.handlers):
        logger.addHandler(_ToRunner())
        logger.setLevel(logging.INFO)
