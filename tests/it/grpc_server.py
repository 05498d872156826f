"""A gRPC server with the standard health service, in grpc's own implementation.

Says its port, then takes a line for each change: `SERVICE STATUS`, with - for the whole server. Ends with its input.
"""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
servicer = health.HealthServicer()
if sys.argv[1:] != ["without"]:
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
for line in sys.stdin:
    service, status = line.split()
    servicer.set("" if service == "-" else service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    print("set", flush=True)
