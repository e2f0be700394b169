#!/usr/bin/env python3
"""Counts up once a second, as a stand-in for any long work.

Each step is a line on stdout. Progress goes to $DEPUTY_NOTIFY_SOCKET, if there is
one, in the way of sd_notify(3): STATUS= is shown as text, X_PERCENT= as a bar.
SIGTERM ends it at once with code 143.

With --children N it starts N helpers, each in a session of its own and one
more below each, that ignore SIGTERM: what a stop must find besides the first
process. They end with the scan; left alone by a stop they live until the time
that the scan would have taken has passed.

Exit status: 0 all steps done; 2 wrong arguments; 143 ended by SIGTERM.
"""

import argparse
import os
import select
import signal
import socket
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(prog="scan.py", description="Counts up once a second.")
    parser.add_argument("-t", dest="task", type=positive, required=True, metavar="ID", help="which scan this is")
    parser.add_argument("--steps", type=positive, default=30, metavar="N", help="how far to count (default 30)")
    parser.add_argument("--interval", type=seconds, default=1.0, metavar="SECONDS", help="from step to step (default 1)")
    parser.add_argument("--children", type=natural, default=0, metavar="N", help="helper processes to start (default 0)")
    return parser.parse_args()


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def natural(text):
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def seconds(text):
    number = float(text)
    if not 0 < number < 3600:
        raise argparse.ArgumentTypeError("must be between 0 and 3600")
    return number


def log(text):
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + text, flush=True)


class Notifier:
    """Tells progress. Without $DEPUTY_NOTIFY_SOCKET, or when nobody listens any more, it does nothing."""

    def __init__(self):
        self.address = os.environ.get("DEPUTY_NOTIFY_SOCKET", "")
        if self.address.startswith("@"):  # an abstract socket
            self.address = "\0" + self.address[1:]
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def tell(self, status, percent):
        if not self.address:
            return
        try:
            self.socket.sendto(f"STATUS={status}\nX_PERCENT={percent:.1f}".encode(), self.address)
        except OSError:
            pass  # progress is a courtesy, never a reason to fail


def start_children(count, deadline):
    """Starts count helpers, each with one more below, and gives the pipe on which they are told to end."""
    read_end, write_end = os.pipe()
    for _ in range(count):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.close(write_end)
            os.setsid()
            below = os.fork()
            idle(read_end, deadline)
            if below:
                os.wait()
            os._exit(0)
    os.close(read_end)
    return write_end


def idle(pipe, deadline):
    """Waits for a byte, or for the deadline. An end of file is only a scan that was stopped."""
    select.select([pipe], [], [], max(0, deadline - time.monotonic()))
    if time.monotonic() < deadline and not os.read(pipe, 1):
        time.sleep(max(0, deadline - time.monotonic()))


def end_children(pipe, count):
    os.write(pipe, b"x" * (2 * count))
    for _ in range(count):
        os.wait()


def main():
    options = arguments()
    step = 0

    def stop(signum, frame):
        # One write(2): print could be under way in the code that was interrupted.
        os.write(1, f"scan {options.task}: told to stop after step {step} of {options.steps}\n".encode())
        os._exit(128 + signum)

    signal.signal(signal.SIGTERM, stop)
    notifier = Notifier()
    total = options.steps * options.interval
    started = time.monotonic()
    pipe = start_children(options.children, started + total + 1) if options.children else None
    log(f"scan {options.task}: started, {options.steps} steps, {2 * options.children} helpers")
    for step in range(1, options.steps + 1):
        time.sleep(max(0, started + step * options.interval - time.monotonic()))
        log(f"scan {options.task}: step {step} of {options.steps}")
        notifier.tell(f"step {step} of {options.steps}", 100 * step / options.steps)
    if pipe is not None:
        end_children(pipe, options.children)
    log(f"scan {options.task}: done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
