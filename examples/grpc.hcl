# gRPC: HTTP/2 from the clients to the members. Every call is balanced by itself, not every connection.
#
#   skein run grpc.hcl

pool "grpc" {
  servers  = ["10.0.0.11:50051", "10.0.0.12:50051"]
  protocol = "h2" # in plain text, as most gRPC servers listen; a tls block would make it TLS
  policy   = "least_conn"

  check {
    tcp = true
  }
  timeouts {
    first_byte = "5m" # a stream may be silent for long
    idle       = "1h"
  }
}

http "grpc" {
  listen    = ":8080"
  protocols = ["http/1.1", "h2c"] # beside tls it would be "h2"
  pool      = pool.grpc

  limits {
    streams = 1000
  }
  timeouts {
    body     = "1h" # between two messages of a stream
    min_rate = 0    # a stream may be slow
  }
}
