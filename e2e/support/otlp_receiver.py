"""A receiver of OpenTelemetry traces (OTLP over HTTP), of the published types: each span is printed as a line of JSON."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def text(attributes, key):
    return next((one.value.string_value for one in attributes if one.key == key), "")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            self.send_error(404)
            return
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = text(resource.resource.attributes, "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.tell(service, span)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def tell(self, service, span):
        told = {
            "service": service,
            "trace": span.trace_id.hex(),
            "span": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "name": span.name,
            "start_us": span.start_time_unix_nano // 1000,
            "end_us": span.end_time_unix_nano // 1000,
            "links": [link.trace_id.hex() for link in span.links],
            "attributes": {one.key: one.value.string_value for one in span.attributes},
        }
        print("span " + json.dumps(told), flush=True)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
