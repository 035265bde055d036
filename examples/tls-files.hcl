# A site over TLS with certificates from files. When the files change, Skein reads them again by itself.
#
# A certificate to try it with:
#
#   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
#     -subj /CN=shop.example.com -addext subjectAltName=DNS:shop.example.com,DNS:*.shop.example.com -keyout shop.key -out shop.pem
#
# The same for partners.example.com makes partners.pem and partners.key.
#
# A secret that makes session tickets of all nodes, put on each of them as /etc/skein/secrets/tickets:
#
#   openssl rand -base64 48

tls "shop" {
  cert = "shop.pem"
  key  = "shop.key"
}

tls "partners" {
  cert = "partners.pem"
  key  = "partners.key"
}

pool "web" {
  servers = ["10.0.0.11:8443", "10.0.0.12:8443"]

  # The members speak TLS as well, with certificates of a CA of our own.
  tls {
    ca   = "ca.pem"
    name = "origin.internal"
  }
  check {
    https = "/up"
  }
}

http "shop" {
  listen   = ":443"
  redirect = ":80"
  hosts    = ["shop.example.com", "*.shop.example.com"]
  tls      = tls.shop
  pool     = pool.web

  https {
    tickets = secret("tickets")
    hsts    = "365d"
  }
}

# Only clients with a certificate of our own CA get in. What a listener asks of clients it asks before it knows the host, so this
# has a port of its own.
http "partners" {
  listen = ":8443"
  tls    = tls.partners
  pool   = pool.web

  https {
    min_version = "1.3"
    client_ca   = "ca.pem"
  }
}
