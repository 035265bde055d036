# A site over TLS whose certificates look after themselves: they are obtained from Let's Encrypt when Skein starts, and renewed
# long before they expire. Ports 80 and 443 must be reached from the Internet under these names.
#
#   skein run https.hcl

acme {
  email = "ops@example.com"
}

http "shop" {
  listen    = ":443"
  redirect  = [":80"] # to https; the CA asks here as well
  hosts     = ["shop.example.com", "www.example.com"]
  tls       = "acme"
  protocols = ["http/1.1", "h2", "h3"] # h3 needs UDP port 443 open as well
  servers   = ["10.0.0.11:8080", "10.0.0.12:8080"]

  https {
    hsts = "1d" # raise it to "365d" once everything works: browsers do not forget
  }
  compress {
  }
}
