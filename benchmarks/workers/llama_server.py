"""llama.cpp's own server out of the package xllamacpp, which carries it prebuilt.

python llama_server.py MODEL.gguf --slots 32 --context 16384 --threads 2 --port 8080
"""

import argparse
import signal

import xllamacpp

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--slots", type=int, required=True)
parser.add_argument("--context", type=int, required=True, help="tokens of all slots together")
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--port", type=int, required=True)
arguments = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = arguments.model
params.n_parallel = arguments.slots
params.n_ctx = arguments.context
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
params.port = arguments.port
params.n_threads_http = arguments.slots + 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.pause()
