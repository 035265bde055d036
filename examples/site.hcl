# A site on three servers, with a health check, an API of its own, and some header fields.
#
#   skein run site.hcl

servers = {
  web1 = "10.0.0.11"
  web2 = "10.0.0.12"
  web3 = "10.0.0.13"
  api1 = "10.0.0.21:9000"
  api2 = "10.0.0.22:9000"
}

server "web1" {
  weight = 2 # the larger machine
}

pool "web" {
  servers = [server.web1, server.web2]
  backup  = [server.web3] # works only when the others cannot
  port    = 8080
  policy  = "least_conn"

  check {
    http = "/up"
  }
}

pool "api" {
  servers = [server.api1, server.api2]

  check {
    tcp = true
  }
  retry {
    tries = 2
  }
}

http "shop" {
  listen = ":8080"
  hosts  = ["shop.example.com", "www.example.com"]
  pool   = pool.web

  # Nobody behind Skein needs to say what it is.
  response_headers {
    remove = ["X-Powered-By"]
  }

  route "/api/" {
    pool     = pool.api
    strip    = "/api"
    max_body = "1MiB"

    request_headers {
      set = { X-Forwarded-Prefix = "/api" }
    }
  }

  route "/old" {
    redirect = "https://shop.example.com/new"
    status   = 301
  }
}
