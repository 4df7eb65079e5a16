"""Calls a function of AWS Lambda as the service does, and prints what it answers.

    lambda_api.py SECONDS EVENT... -- COMMAND...

COMMAND is started with the address of the runtime's API, gets one EVENT after the other, each with so many SECONDS of time, and is
stopped. Printed is one JSON array with `{"response": …}` or `{"error": …}` for each event. As AWS does, a call that takes longer is cut off
(`{"killed": true}`), and the next one gets a new process; with SECONDS below 0 it is not.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
import time


def main():
    seconds, rest = float(sys.argv[1]), sys.argv[2:]
    events, command = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    waiting, answers, done, late = list(events), [], threading.Event(), threading.Event()

    def answered(answer):
        answers.append(answer)
        if len(answers) == len(events):
            done.set()

    def end(number):
        if len(answers) == number:
            late.set()

    class Api(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if not waiting:
                done.wait()
                return
            event = waiting.pop(0).encode()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", f"call-{len(answers)}")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + seconds) * 1000)))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:000000000001:function:lake")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(event)))
            self.end_headers()
            self.wfile.write(event)
            if seconds > 0:
                clock = threading.Timer(seconds, end, [len(answers)])
                clock.daemon = True
                clock.start()

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            answered({self.path.rsplit("/", 1)[-1]: body})

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    function = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "lake",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
    }
    start = lambda: subprocess.Popen(command, env={**os.environ, **function}, stdout=subprocess.DEVNULL)
    process = start()
    while not done.wait(0.1):
        if late.is_set():
            process.kill()
            process.wait()
            late.clear()
            process = start() if waiting else process
            answered({"killed": True})
        elif process.poll() is not None:
            sys.exit(f"the function ended with {process.returncode} after {len(answers)} answers")
    process.kill()
    process.wait()
    print(json.dumps(answers))


main()
