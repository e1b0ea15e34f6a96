"""Makes worker processes die or hang at slides of certain names, as native decoders do at certain bytes.

Python imports it where its folder is in PYTHONPATH. Only worker processes are meant: what is patched there is
the step between a job and its conversion.
"""

import os
import signal
import sys
import time

if any("serve(" in argument for argument in sys.orig_argv):
    from wsicomp.batch import bulk_jobs, jobs

    convert_slide, restore_slide = jobs.convert_slide, bulk_jobs.restore_slide

    def convert(source, target, config, on_progress, **options):
        """A name that begins with one of these words does what it says, the others convert."""
        if source.name.startswith("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if source.name.startswith("abort"):
            os.abort()
        if source.name.startswith("hang"):
            time.sleep(3600)
        if source.name.startswith("slow"):
            time.sleep(float(os.environ.get("WSICOMP_SLOW_S", "1")))
        if source.name.startswith("changing"):
            on_progress = change(source, on_progress)
        return convert_slide(source, target, config, on_progress, **options)

    def change(source, on_progress):
        """Touches the source when tiles are written."""

        def progress(stage, done, total):
            if stage == "write":
                os.utime(source)
            on_progress(stage, done, total)

        return progress

    def restore(converted, *arguments, **options):
        """A name that begins with one of these words does what it says, the others restore."""
        if converted.name.startswith("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if converted.name.startswith("hang"):
            time.sleep(3600)
        return restore_slide(converted, *arguments, **options)

    jobs.convert_slide, bulk_jobs.restore_slide = convert, restore
